import { fromHalf } from '@kvfold/kernels'
import type { PackedType } from './decoder.ts'

// The layouts are those of legacy.ts.

/** 4-bit codes in blocks of `bytes`; without minima, codes are around 8. */
export function fourBitBlocks(bytes: number, withMinimum: boolean): PackedType {
  return {
    kind: 'q4',
    row(view, from, count) {
      const blocks = count / 32
      const row = { codes: new Uint8Array(count), scales: new Float32Array(blocks), minima: new Float32Array(blocks) }
      for (let b = 0, at = from; b < blocks; b++, at += bytes) {
        const scale = fromHalf(view.getUint16(at, true))
        row.scales[b] = scale
        row.minima[b] = withMinimum ? fromHalf(view.getUint16(at + 2, true)) : -8 * scale
        for (let j = 0; j < 16; j++) {
          const code = view.getUint8(at + bytes - 16 + j)
          row.codes[b * 32 + j] = code & 15
          row.codes[b * 32 + 16 + j] = code >> 4
        }
      }
      return row
    },
  }
}

/** Signed bytes. */
export const signedBlocks: PackedType = {
  kind: 'q8',
  row(view, from, count) {
    const row = { codes: new Int8Array(count), scales: new Float32Array(count / 32), minima: [] }
    for (let b = 0, at = from; b < row.scales.length; b++, at += 34) {
      row.scales[b] = fromHalf(view.getUint16(at, true))
      for (let j = 0; j < 32; j++) row.codes[b * 32 + j] = view.getInt8(at + 2 + j)
    }
    return row
  },
}
