import { webAssembly } from '../heap/webassembly.ts'
import { bytesOf } from './bytes.ts'
import { relaxedDot } from './binary.generated.ts'

/**
 * What the compiled kernels use: SIMD that every engine has; relaxed SIMD's multiplication and addition in one; or also its products of bytes. The last two are
 * one binary.
 */
export type Build = 'plain' | 'fused' | 'relaxed'

let best: Build | undefined

/** The fastest one of those that this engine runs. */
export function bestBuild(): Build {
  return (best ??= buildFor(product(127, 255)))
}

/**
 * Relaxed SIMD leaves open what a code above 127 is worth, and that tells how an engine multiplies: 4 * 127 * 255 is one instruction of x86, 4 * 127 * -1 those
 * of ARM. 2 * 32767 is put together from several, which products of 16 bits are as fast as. Of anything else nothing is known but that it is wrong.
 */
export function buildFor(product: number | undefined): Build {
  if (product === 129_540 || product === -508) return 'relaxed'
  return product === 65_534 ? 'fused' : 'plain'
}

/** Four times byte * code, as this engine has it; undefined where there is no relaxed SIMD. */
export function product(byte: number, code: number): number | undefined {
  const bytes = bytesOf(relaxedDot)
  if (!webAssembly?.validate(bytes)) return undefined
  const { exports } = new webAssembly.Instance(new webAssembly.Module(bytes), {})
  return (exports as { relaxedDot(byte: number, code: number): number }).relaxedDot(byte, code)
}
