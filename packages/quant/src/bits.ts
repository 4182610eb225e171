import { fromHalf, toHalfSaturated } from '@kvfold/kernels'

/** Writes a code of up to 8 bits, the bit `at` of those after byte `from` being its lowest. The bytes must be zero before. */
export function putBits(bytes: Uint8Array, from: number, at: number, code: number): void {
  const place = from + (at >> 3)
  const shifted = code << (at & 7)
  bytes[place] |= shifted
  if (shifted > 255) bytes[place + 1] |= shifted >> 8
}

/** Reads as many codes of `bits` bits, 8 at most, as `into` has room for, from byte `from` on: what `levels` has for each. */
export function takeLevels(bytes: Uint8Array, from: number, bits: number, levels: Float64Array, into: Float64Array): void {
  const mask = (1 << bits) - 1
  let held = 0,
    ready = 0
  for (let i = 0; i < into.length; i++) {
    if (ready < bits) {
      held |= bytes[from++] << ready
      ready += 8
    }
    into[i] = levels[held & mask]
    held >>= bits
    ready -= bits
  }
}

/** Writes a number as a float16, at any byte; returns what it is read back as. */
export function putHalf(bytes: Uint8Array, at: number, value: number): number {
  const half = toHalfSaturated(value)
  bytes[at] = half & 255
  bytes[at + 1] = half >> 8
  return fromHalf(half)
}

export function takeHalf(bytes: Uint8Array, at: number): number {
  return fromHalf(bytes[at] | (bytes[at + 1] << 8))
}
