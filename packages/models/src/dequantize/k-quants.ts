import { fromHalf } from '@kvfold/kernels'
import type { Decoder } from './decoder.ts'

// Super-blocks of 256 values of one row.

/**
 * Q4_K and Q5_K: scale d and minimum scale dmin (float16), eight 6-bit scales and eight 6-bit minima in 12 bytes, for Q5_K 32 bytes of
 * high bits, then 4-bit codes in four runs of 32 bytes: lower halves are one group of 32 values, upper halves the next.
 */
function grouped(highBits: boolean): Decoder {
  const codes = highBits ? 48 : 16,
    bytes = codes + 128
  return {
    block: 256,
    bytes,
    decode(view, from, count, into, at) {
      for (let b = from; count > 0; b += bytes, at += 256, count -= 256) {
        const d = fromHalf(view.getUint16(b, true)),
          dmin = fromHalf(view.getUint16(b + 2, true))
        for (let g = 0; g < 8; g++) {
          const scale = d * sixBits(view, b + 4, g, 0),
            minimum = dmin * sixBits(view, b + 4, g, 4)
          for (let j = 0; j < 32; j++) {
            const low = (view.getUint8(b + codes + (g >> 1) * 32 + j) >> (4 * (g & 1))) & 15
            const high = highBits ? ((view.getUint8(b + 16 + j) >> g) & 1) << 4 : 0
            into[at + g * 32 + j] = (low | high) * scale - minimum
          }
        }
      }
    },
  }
}

/** The 6-bit number `g` of the scales (part 0) or minima (part 4): the last four take their upper two bits from the first four bytes. */
function sixBits(view: DataView, at: number, g: number, part: 0 | 4): number {
  if (g < 4) return view.getUint8(at + part + g) & 63
  const low = view.getUint8(at + 4 + g)
  return (part ? low >> 4 : low & 15) | ((view.getUint8(at + part + g - 4) >> 6) << 4)
}

/** x = code (d scale) - (dmin minimum), 144 bytes. */
export const q4_K: Decoder = grouped(false)
/** The same with 5-bit codes, 176 bytes. */
export const q5_K: Decoder = grouped(true)

/** 128 bytes of lower halves, 64 of upper two bits, sixteen signed scales, d (float16): x = (code - 32) (d scale), 210 bytes. */
export const q6_K: Decoder = {
  block: 256,
  bytes: 210,
  decode(view, from, count, into, at) {
    for (let b = from; count > 0; b += 210, at += 256, count -= 256) {
      const d = fromHalf(view.getUint16(b + 208, true))
      for (let i = 0; i < 256; i++) {
        // Two halves of 128 values; each is four groups of 32 that share 64 bytes of lower and 32 of upper bits.
        const half = i >> 7,
          group = (i >> 5) & 3,
          j = i & 31
        const low = (view.getUint8(b + half * 64 + (group & 1) * 32 + j) >> (4 * (group >> 1))) & 15
        const high = (view.getUint8(b + 128 + half * 32 + j) >> (2 * group)) & 3
        const scale = d * view.getInt8(b + 192 + (i >> 4))
        into[at + i] = ((low | (high << 4)) - 32) * scale
      }
    }
  },
}
