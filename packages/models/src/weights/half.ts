/** float16 bits to float32, exactly. */
export function halfToFloat(bits: number): number {
  return HALF_TABLE[bits]
}

// 256 KiB once instead of arithmetic for every weight.
const HALF_TABLE: Float32Array = Float32Array.from({ length: 65536 }, (_, bits) => {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f,
    fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
})
