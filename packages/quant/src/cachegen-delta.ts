import { type Codec, type PageField, ShapeError } from '@kvfold/kv-core'
import { putHalf, takeHalf } from './bits.ts'
import { binOf, largest } from './cachegen-codec.ts'

/** Tokens of a group, which is a page. */
export const GROUP = 10

/** Codes are so much above their bins. */
const MIDDLE = 128

/**
 * CacheGen's anchors and deltas, as in its paper: the first of ten tokens is the anchor, kept in 8 bits with one scale, and the others are what
 * they differ from it by (as it is read back, so that errors do not add up) in bins `width` times as wide as that difference's root mean
 * square. A row holds 8 bits a channel and its bins' width; what the rows share is the anchor, so that each of them may leave.
 *
 * The anchor's own row is one of bin 0: it is read back as it is shared. No kernel reads it. |x' - x| is half a bin at most, the anchor's
 * m / 254, plus what float16 adds; bins beyond the 127th are cut off, which takes a head of more than 16,000 * width^2 channels.
 */
export function deltaCodec(width: number): Codec {
  const rowBytes = (headDim: number): number => headDim + 2
  return {
    name: `delta${width}`,
    layout: 'opaque',
    pageRows(headDim) {
      if (headDim % 16 !== 0) throw new ShapeError(`A head of ${headDim} channels cannot be packed: it must be a multiple of 16.`)
      return GROUP
    },
    bytes: (rows, headDim) => (rows + 1) * rowBytes(headDim),
    shared: rowBytes,
    fields(headDim) {
      const fields: PageField[] = [
        { kind: 'codes', count: headDim, bits: 8 },
        { kind: 'halves', count: 1 },
      ]
      return { row: fields, shared: fields }
    },
    encode(rows, count, headDim, into, shared) {
      const anchor = rows.slice(0, headDim)
      putBins(anchor, largest(anchor, 0, headDim) / 127, shared)
      addBins(shared, 0, headDim, anchor.fill(0))
      const delta = new Float32Array(headDim)
      for (let row = 0; row < count; row++) {
        let squares = 0
        for (let channel = 0; channel < headDim; channel++) {
          delta[channel] = row === 0 ? 0 : rows[row * headDim + channel] - anchor[channel]
          squares += delta[channel] ** 2
        }
        const first = row * rowBytes(headDim)
        putBins(delta, width * Math.sqrt(squares / headDim), into.subarray(first, first + rowBytes(headDim)))
      }
    },
    decode(bytes, count, headDim, into, shared) {
      const anchor = new Float32Array(headDim)
      addBins(shared, 0, headDim, anchor)
      for (let row = 0; row < count; row++) {
        const numbers = into.subarray(row * headDim, (row + 1) * headDim)
        numbers.set(anchor)
        addBins(bytes, row * rowBytes(headDim), headDim, numbers)
      }
    },
  }
}

/** Writes codes and, as a half, the width of their bins. */
function putBins(numbers: Float32Array, width: number, into: Uint8Array): void {
  const own = putHalf(into, numbers.length, width)
  for (let i = 0; i < numbers.length; i++) into[i] = binOf(numbers[i], own, MIDDLE - 1) + MIDDLE
}

/** Adds what `putBins` wrote at `from`. */
function addBins(bytes: Uint8Array, from: number, headDim: number, into: Float32Array): void {
  const width = takeHalf(bytes, from + headDim)
  for (let i = 0; i < headDim; i++) into[i] += (bytes[from + i] - MIDDLE) * width
}
