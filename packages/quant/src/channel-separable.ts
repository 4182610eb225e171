import { fromHalves, MAX_HALF, toHalf, toHalfSaturated } from '@kvfold/kernels'
import { type Codec, PAGE_ROWS, ShapeError } from '@kvfold/kv-core'

/**
 * A token's channels in groups with a scale and a minimum each, after every channel was divided by a scale of its own: c = sqrt(max |x|)
 * over the rows of a page. A channel of large numbers takes less of its group's range, and small channels lose less.
 * x' = (code * step + minimum) * c; all but codes is float16.
 *
 * No kernel reads it: rows are decoded into scratch, step by step. A row takes headDim * bits / 8 bytes and 4 for each group, a page 2 for
 * each channel on top. Since a page's rows share c, they are packed together, and a page is best full.
 *
 * |x' - x| <= c * step / 2, and what the rounding to float16 adds.
 */
export function channelSeparable(bits: 2 | 4 | 8, groupOf: (headDim: number) => number): Codec {
  const levels = (1 << bits) - 1
  const rowBytes = (headDim: number): number => (headDim * bits) / 8 + (headDim / groupOf(headDim)) * 4
  return {
    name: `separable${bits}`,
    layout: 'opaque',
    pageRows(headDim) {
      if (headDim % 16 !== 0 || headDim % groupOf(headDim) !== 0)
        throw new ShapeError(`A head of ${headDim} channels cannot be packed so: it must be a multiple of 16 and of ${groupOf(headDim)}.`)
      return PAGE_ROWS
    },
    bytes: (rows, headDim) => rows * rowBytes(headDim) + headDim * 2,
    shared: (headDim) => headDim * 2,
    fields: (headDim) => ({
      row: [
        { kind: 'codes', count: headDim, bits },
        { kind: 'halves', count: (headDim / groupOf(headDim)) * 2 },
      ],
      shared: [{ kind: 'halves', count: headDim }],
    }),
    encode(rows, count, headDim, into, shared) {
      const group = groupOf(headDim)
      const scales = channelScales(rows, headDim)
      new Uint16Array(shared.buffer, shared.byteOffset, headDim).set(scales)
      const c = fromHalves(scales)
      const scaled = rows.map((x, i) => x / c[i % headDim])
      const width = rowBytes(headDim)
      const codeBytes = (headDim * bits) / 8
      into.fill(0)
      for (let row = 0; row < count; row++) {
        const halves = new Uint16Array(into.buffer, into.byteOffset + row * width + codeBytes, (headDim / group) * 2)
        for (let g = 0; g < headDim / group; g++) {
          const { low, step, codes } = roundGroup(scaled.subarray(row * headDim + g * group, row * headDim + (g + 1) * group), levels)
          for (let i = 0; i < group; i++) {
            const channel = g * group + i
            into[row * width + (channel % codeBytes)] |= codes[i] << (Math.floor(channel / codeBytes) * bits)
          }
          halves[2 * g] = toHalfSaturated(step)
          halves[2 * g + 1] = toHalfSaturated(low)
        }
      }
    },
    decode(bytes, count, headDim, into, shared) {
      const group = groupOf(headDim)
      const c = fromHalves(new Uint16Array(shared.buffer, shared.byteOffset, headDim))
      const width = rowBytes(headDim)
      const codeBytes = (headDim * bits) / 8
      const halves = new Float32Array((headDim / group) * 2)
      for (let row = 0; row < count; row++) {
        const first = row * width
        fromHalves(new Uint16Array(bytes.buffer, bytes.byteOffset + first + codeBytes, halves.length), halves)
        for (let g = 0, channel = 0; channel < headDim; g += 2) {
          const step = halves[g],
            low = halves[g + 1]
          for (const end = channel + group; channel < end; channel++) {
            const code = (bytes[first + (channel % codeBytes)] >> (Math.floor(channel / codeBytes) * bits)) & levels
            into[row * headDim + channel] = (code * step + low) * c[channel]
          }
        }
      }
    },
  }
}

/** sqrt(max |x|) of each channel, as halves; 1 where that would be 0. */
function channelScales(rows: Float32Array, headDim: number): Uint16Array {
  const most = new Float32Array(headDim)
  for (let i = 0; i < rows.length; i++) most[i % headDim] = Math.max(most[i % headDim], Math.abs(rows[i]))
  return Uint16Array.from(most, (x) => toHalf(Math.min(MAX_HALF, Math.sqrt(x))) || toHalf(1))
}

/** Minimum, step = (max - min) / levels (1 where all are equal), and codes = (x - minimum) / step, halves to the even one. */
export function roundGroup(x: Float32Array, levels: number): { low: number; step: number; codes: Uint8Array } {
  if (x.length === 0) return { low: 0, step: 1, codes: new Uint8Array(0) }
  let low = Infinity,
    high = -Infinity
  for (const value of x) {
    if (value < low) low = value
    if (value > high) high = value
  }
  const step = high === low ? 1 : Math.fround(Math.fround(high - low) / levels)
  const codes = Uint8Array.from(x, (value) => {
    const quotient = Math.fround(Math.fround(value - low) / step)
    const floor = Math.floor(quotient)
    const rest = quotient - floor
    return Math.min(levels, rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor)
  })
  return { low, step, codes }
}
