/** IEEE 754 half precision (float16), kept in uint16. */

const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

/** The largest finite half. */
export const MAX_HALF = 65504

/** A float32 as half: rounds to nearest, ties to even; too large becomes Infinity, NaN stays NaN. */
export function toHalf(value: number): number {
  float[0] = value
  const all = bits[0]
  const sign = (all >>> 16) & 0x8000
  const magnitude = all & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  if (magnitude < 0x38800000) {
    // Below the normal range: adding 0.5 lines the bits up with the subnormals' unit, and rounds as float addition does.
    float[0] = Math.abs(float[0]) + 0.5
    return sign | (bits[0] - 0x3f000000)
  }
  // Shift the exponent's bias from 127 to 15 and round the 13 bits that go.
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
}

/** As toHalf, but what is too large becomes the largest finite half of its sign. */
export function toHalfSaturated(value: number): number {
  return toHalf(Math.min(MAX_HALF, Math.max(-MAX_HALF, value)))
}

/** The number that a half stands for, exactly. */
export function fromHalf(half: number): number {
  const magnitude = half & 0x7fff
  if (magnitude >= 0x7c00) return magnitude > 0x7c00 ? NaN : half & 0x8000 ? -Infinity : Infinity
  // A half's bits in a float's place are 2^-112 of it, since exponents are counted from elsewhere: also where it is subnormal.
  bits[0] = ((half & 0x8000) << 16) | (magnitude << 13)
  return float[0] * 2 ** 112
}

/** Many floats to halves. */
export function toHalves(values: ArrayLike<number>, into: Uint16Array = new Uint16Array(values.length)): Uint16Array {
  for (let i = 0; i < values.length; i++) into[i] = toHalf(values[i])
  return into
}

/** Many halves to floats. */
export function fromHalves(halves: ArrayLike<number>, into: Float32Array = new Float32Array(halves.length)): Float32Array {
  for (let i = 0; i < halves.length; i++) into[i] = fromHalf(halves[i])
  return into
}
