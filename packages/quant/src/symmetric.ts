import { fromHalf, MAX_HALF, toHalf } from '@kvfold/kernels'
import { affine, type Codec } from '@kvfold/kv-core'

/** Numbers of a block, which share a scale. */
const BLOCK = 32

/**
 * Blocks of 32 channels of a token with one scale each and codes around zero, x = (code - zero) * scale, in the layout that the kernels read:
 * its minimum is -zero * scale, and since zero is a power of two, that is a half whenever the scale is one. So nothing is lost, but the
 * minimum takes 2 more bytes for a block. A scale may be negative.
 *
 * `scaleOf` gets the block's number that is farthest from zero (the first of several), `codeOf` a number times 1 / scale, in float32.
 */
export function symmetric(name: string, bits: 4 | 8, scaleOf: (farthest: number) => number, codeOf: (quotient: number) => number): Codec {
  const zero = 1 << (bits - 1)
  // Its minimum is still a finite half.
  const largest = MAX_HALF / zero
  return {
    ...affine({ bits, axis: 'token', group: BLOCK }),
    name,
    encode(rows, count, headDim, into) {
      const rowBytes = (headDim * bits) / 8
      const perRow = headDim / BLOCK
      const halves = new DataView(into.buffer, into.byteOffset + count * rowBytes)
      into.fill(0, 0, count * rowBytes)
      for (let block = 0; block < count * perRow; block++) {
        const numbers = rows.subarray(block * BLOCK, (block + 1) * BLOCK)
        const scale = Math.fround(scaleOf(farthest(numbers)))
        const inverse = scale ? Math.fround(1 / scale) : 0
        for (let i = 0; i < BLOCK; i++) {
          const channel = (block % perRow) * BLOCK + i
          const code = codeOf(Math.fround(numbers[i] * inverse))
          into[Math.floor(block / perRow) * rowBytes + (channel % rowBytes)] |= code << (Math.floor(channel / rowBytes) * bits)
        }
        const half = toHalf(Math.min(largest, Math.max(-largest, scale)))
        halves.setUint16(block * 2, half, true)
        halves.setUint16((count * perRow + block) * 2, toHalf(-zero * fromHalf(half)), true)
      }
    },
  }
}

/** The number of the largest magnitude, with its sign. */
function farthest(numbers: Float32Array): number {
  let most = 0
  for (const x of numbers) if (Math.abs(x) > Math.abs(most)) most = x
  return most
}
