import { webAssembly } from '../heap/webassembly.ts'
import { bytesOf } from './bytes.ts'
import { relaxedDot } from './binary.generated.ts'

/** Which of the two compiled kernels: SIMD that every engine has, or relaxed SIMD besides, which multiplies bytes. */
export type Build = 'plain' | 'relaxed'

let best: Build | undefined

/** The faster one of those that this engine runs. */
export function bestBuild(): Build {
  return (best ??= buildFor(product(127, 255)))
}

/**
 * Relaxed SIMD leaves open what a code above 127 is worth, and that tells how an engine multiplies: 4 * 127 * 255 is one instruction of x86, 4 * 127 * -1 those
 * of ARM. Anything else is put together from several, which the plain build does as fast with sixteen bits.
 */
export function buildFor(product: number | undefined): Build {
  return product === 129_540 || product === -508 ? 'relaxed' : 'plain'
}

/** Four times byte * code, as this engine has it; undefined where there is no relaxed SIMD. */
export function product(byte: number, code: number): number | undefined {
  const bytes = bytesOf(relaxedDot)
  if (!webAssembly?.validate(bytes)) return undefined
  const { exports } = new webAssembly.Instance(new webAssembly.Module(bytes), {})
  return (exports as { relaxedDot(byte: number, code: number): number }).relaxedDot(byte, code)
}
