import { type Codec, type Levels, PAGE_ROWS, ShapeError } from '@kvfold/kv-core'
import { putBits, putHalf, takeHalf, takeLevels } from './bits.ts'
import { extremes } from './extremes.ts'

/** Share of a page's key numbers that it has room for as outliers: 1 % is usual, and some tokens have many. */
const ROOM = 0.02
/** No outlier in this place. */
const NONE = 255

/** Codes of `bits` bits for numbers in [-1, 1]: the nearest of some levels. */
class Coder {
  readonly bits: number
  /** What codes are read back as. */
  readonly read: Float64Array
  private readonly bounds: Float32Array

  constructor(bits: number, { choose, read }: Levels) {
    this.bits = bits
    this.bounds = Float32Array.from({ length: choose.length - 1 }, (_, i) => (choose[i] + choose[i + 1]) / 2)
    this.read = Float64Array.from(read)
  }

  bytes(headDim: number): number {
    return (headDim * this.bits) / 8
  }

  put(x: number, into: Uint8Array, first: number, channel: number): void {
    let code = 0
    while (code < this.bounds.length && x > this.bounds[code]) code++
    putBits(into, first, channel * this.bits, code)
  }
}

/**
 * Keys before their rotation, as codes relative to their channel's range, `low` to `high` [headDim]. What lies outside is kept as it is (float16),
 * in a list that a page's rows share: its entries are row, channel, number. Of more than it has room for the farthest are kept, relative to
 * their range; the others take its end. A row holds its number for the list, since rows may leave. No kernel reads it.
 */
export function kvquantKeys(bits: 2 | 3 | 4, levels: Levels, low: Float32Array, high: Float32Array): Codec {
  const coder = new Coder(bits, levels)
  /** Of a channel's range. */
  const shares = coder.read.map((x) => (x + 1) / 2)
  const width = (headDim: number): number => coder.bytes(headDim) + 1
  const shared = (headDim: number): number => Math.ceil(ROOM * PAGE_ROWS * headDim) * 4
  return {
    name: `kvquant${bits}/channel`,
    layout: 'opaque',
    unrotated: true,
    pageRows,
    bytes: (rows, headDim) => rows * width(headDim) + shared(headDim),
    shared,
    encode(rows, count, headDim, into, list) {
      into.fill(0)
      list.fill(NONE)
      const outside: { row: number; channel: number; by: number }[] = []
      for (let row = 0; row < count; row++) {
        const first = row * width(headDim)
        into[first] = row
        for (let c = 0; c < headDim; c++) {
          const x = rows[row * headDim + c]
          const range = high[c] - low[c]
          coder.put(range > 0 ? (2 * (x - low[c])) / range - 1 : 0, into, first + 1, c)
          const by = Math.max(low[c] - x, x - high[c])
          if (by > 0) outside.push({ row, channel: c, by: by / Math.max(range, 1e-30) })
        }
      }
      outside.sort((a, b) => b.by - a.by)
      for (let i = 0; i < Math.min(outside.length, list.length / 4); i++) {
        const { row, channel } = outside[i]
        list.set([row, channel], i * 4)
        putHalf(list, i * 4 + 2, rows[row * headDim + channel])
      }
    },
    decode(bytes, count, headDim, into, list) {
      const places = new Int32Array(PAGE_ROWS).fill(-1)
      const own = new Float64Array(headDim)
      for (let row = 0; row < count; row++) {
        const first = row * width(headDim)
        const out = row * headDim
        places[bytes[first]] = row
        takeLevels(bytes, first + 1, bits, shares, own)
        for (let c = 0; c < headDim; c++) into[out + c] = low[c] + own[c] * (high[c] - low[c])
      }
      for (let at = 0; at < list.length && list[at] !== NONE; at += 4) {
        const row = places[list[at]]
        if (row >= 0) into[row * headDim + list[at + 1]] = takeHalf(list, at + 2)
      }
    },
  }
}

/**
 * Values as codes relative to their own range, without the largest and the smallest 1.5 % (at least one each), which are kept as they are. A row
 * holds codes, the range's middle and half width, and its outliers, channels and numbers; all but codes and channels is float16. Rows are
 * separate. No kernel reads it.
 */
export function kvquantValues(bits: 2 | 3 | 4, levels: Levels): Codec {
  const coder = new Coder(bits, levels)
  const each = (headDim: number): number => Math.max(1, Math.round(headDim * 0.015))
  const width = (headDim: number): number => coder.bytes(headDim) + 4 + 2 * each(headDim) * 3
  return {
    name: `kvquant${bits}/token`,
    layout: 'opaque',
    pageRows,
    bytes: (rows, headDim) => rows * width(headDim),
    encode(rows, count, headDim, into) {
      const channels = [...Array(headDim).keys()]
      into.fill(0)
      for (let row = 0; row < count; row++) {
        const x = rows.subarray(row * headDim, (row + 1) * headDim)
        const { out, others } = extremes(x, channels, 2 * each(headDim))
        let low = Infinity,
          high = -Infinity
        for (const c of others) {
          low = Math.min(low, x[c])
          high = Math.max(high, x[c])
        }
        const first = row * width(headDim)
        let at = first + coder.bytes(headDim)
        const middle = putHalf(into, at, (low + high) / 2),
          half = putHalf(into, at + 2, (high - low) / 2)
        at += 4
        for (const channel of out) {
          into[at] = channel
          putHalf(into, at + 1, x[channel])
          at += 3
        }
        for (let c = 0; c < headDim; c++) coder.put(half > 0 ? (x[c] - middle) / half : 0, into, first, c)
      }
    },
    decode(bytes, count, headDim, into) {
      const own = new Float64Array(headDim)
      const outliers = 2 * each(headDim)
      for (let row = 0; row < count; row++) {
        const first = row * width(headDim)
        let at = first + coder.bytes(headDim)
        const middle = takeHalf(bytes, at),
          half = takeHalf(bytes, at + 2)
        const out = row * headDim
        takeLevels(bytes, first, bits, coder.read, own)
        for (let c = 0; c < headDim; c++) into[out + c] = own[c] * half + middle
        for (let i = 0; i < outliers; i++, at += 3) into[out + bytes[at + 4]] = takeHalf(bytes, at + 5)
      }
    },
  }
}

function pageRows(headDim: number): number {
  if (headDim % 8 !== 0 || headDim > 256)
    throw new ShapeError(`A head of ${headDim} channels cannot be packed so: it must be a multiple of 8, at most 256.`)
  return PAGE_ROWS
}
