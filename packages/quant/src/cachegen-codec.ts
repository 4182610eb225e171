import { fromHalf, MAX_HALF, toHalf } from '@kvfold/kernels'
import { affine, type Codec } from '@kvfold/kv-core'

/**
 * CacheGen's bins, as in its code: a token's numbers in 2c + 1 steps of m / c around zero, with m their largest magnitude and c = bins / 2 - 1,
 * rounded down; code = round(x c / m) + c, x' = (code - c) m / c. In the kernels' layout, 4 bits a code or 8, with one scale for a whole row.
 *
 * |x' - x| <= m / 2c, and what the rounding of scale and minimum to float16 adds: up to m / 1000. A row of zeros has scale 0 and codes c.
 */
export function binsCodec(bins: number, headDim: number): Codec {
  const middle = Math.floor(bins / 2) - 1
  const bits = middle < 8 ? 4 : 8
  return {
    ...affine({ bits, axis: 'token', group: headDim }),
    name: `bins${bins}`,
    encode(rows, count, _, into) {
      const rowBytes = (headDim * bits) / 8
      const halves = new DataView(into.buffer, into.byteOffset + count * rowBytes)
      into.fill(0, 0, count * rowBytes)
      for (let row = 0; row < count; row++) {
        // The minimum, c times as large, must still be a half.
        const half = toHalf(Math.min(MAX_HALF, largest(rows, row * headDim, headDim)) / middle)
        const scale = fromHalf(half)
        for (let channel = 0; channel < headDim; channel++) {
          const code = binOf(rows[row * headDim + channel], scale, middle) + middle
          into[row * rowBytes + (channel % rowBytes)] |= code << (Math.floor(channel / rowBytes) * bits)
        }
        halves.setUint16(row * 2, half, true)
        halves.setUint16((count + row) * 2, toHalf(-middle * scale), true)
      }
    },
  }
}

/** The bin of x, -most to most; 0 where bins have no width. */
export function binOf(x: number, width: number, most: number): number {
  return width > 0 ? Math.max(-most, Math.min(most, Math.round(x / width))) : 0
}

/** The largest magnitude of `count` numbers. */
export function largest(numbers: Float32Array, from: number, count: number): number {
  let most = 0
  for (let i = from; i < from + count; i++) most = Math.max(most, Math.abs(numbers[i]))
  return most
}
