import { fromHalf } from '@kvfold/kernels'
import { fourBitBlocks, signedBlocks } from './packed-blocks.ts'
import type { Decoder, PackedType } from './decoder.ts'

// Blocks of 32 values of one row: scale d (float16), for the _1 kinds minimum m (float16), for the 5-bit kinds 32 high bits,
// then 4-bit codes: byte j holds value j in its lower half and value j + 16 in its upper half.

/** What kernels take as it is, as numbers too. */
function blocks(bytes: number, packed: PackedType): Decoder {
  return {
    block: 32,
    bytes,
    decode(view, from, count, into, at) {
      const { codes, scales, minima } = packed.row(view, from, count)
      for (let i = 0; i < count; i++) {
        const product = codes[i] * scales[i >> 5]
        into[at + i] = minima.length > 0 ? product + minima[i >> 5] : product
      }
    },
    packed,
  }
}

function fiveBits(withMinimum: boolean): Decoder {
  const high = withMinimum ? 4 : 2,
    bytes = high + 20
  return {
    block: 32,
    bytes,
    decode(view, from, count, into, at) {
      for (let b = from; count > 0; b += bytes, at += 32, count -= 32) {
        const d = fromHalf(view.getUint16(b, true))
        const m = withMinimum ? fromHalf(view.getUint16(b + 2, true)) : -16 * d
        const bits = view.getUint32(b + high, true)
        for (let j = 0; j < 16; j++) {
          const code = view.getUint8(b + high + 4 + j)
          into[at + j] = ((code & 15) | (((bits >>> j) & 1) << 4)) * d + m
          into[at + j + 16] = ((code >> 4) | (((bits >>> (j + 16)) & 1) << 4)) * d + m
        }
      }
    },
  }
}

/** x = (code - 8) d, 18 bytes. */
export const q4_0: Decoder = blocks(18, fourBitBlocks(18, false))
/** x = code d + m, 20 bytes. */
export const q4_1: Decoder = blocks(20, fourBitBlocks(20, true))
/** x = (code - 16) d, 22 bytes. */
export const q5_0: Decoder = fiveBits(false)
/** x = code d + m, 24 bytes. */
export const q5_1: Decoder = fiveBits(true)

/** x = code d with signed bytes, 34 bytes. */
export const q8_0: Decoder = blocks(34, signedBlocks)
