import { addCodes, addCodes3 } from './add-codes'
import { codeBits, codeGroup } from './page'
import { EACH, roundWeights } from './round-weights'
import { STRIDE } from './simd'
import { spread } from './spread'
import { unpackPairs } from './unpack'

/**
 * output += weights `[query][STRIDE]` * packed values whose tokens have scales (axis token), without decoding them: the sum of
 * w * (code * scale + minimum) is the sum of (w * scale) * code plus a constant, group by group of channels. The products w * scale are
 * rounded to 16 bits of their largest, so that integers multiply, two rows at a time.
 * A row's bytes and the group are multiples of 16. `scratch`: 512 bytes per group, 256, EACH per query, then headDim bytes for each row.
 */
export function addPacked(
  page: usize, capacity: usize, code: i32, start: i32, rows: i32, headDim: usize, weights: usize, count: i32, output: usize, scratch: usize,
): void {
  const bits = codeBits(code)
  const group = codeGroup(code)
  const rowBytes = headDim * bits >> 3
  const perRow = headDim / group
  const scales = scratch
  const minima = scales + (perRow << 8)
  const products = minima + (perRow << 8)
  const rounded = products + 256
  const halves = page + capacity * rowBytes + (<usize>start * perRow << 1)
  spread(halves, rows, perRow, scales)
  spread(halves + (capacity * perRow << 1), rows, perRow, minima)
  const codes = rounded + <usize>count * EACH
  unpackPairs(page + <usize>start * rowBytes, rows, rowBytes, bits, codes)
  for (let g: usize = 0; g < perRow; g++) {
    for (let i = 0; i < count; i++) {
      roundWeights(weights + <usize>i * STRIDE, rows, scales + (g << 8), minima + (g << 8), products, rounded + <usize>i * EACH)
    }
    for (let i = 0; i + 1 < count; i += 3) {
      const w = rounded + <usize>i * EACH
      const o = output + (<usize>i * headDim << 2)
      // Two queries run as three; what the third adds is thrown away.
      const third = i + 2 < count
      for (let c = g * group; c < (g + 1) * group; c += 8) {
        const at = o + (c << 2)
        addCodes3(codes + (c << 1), rows, headDim << 1, w, w + EACH, third ? w + 2 * EACH : w,
          at, at + (headDim << 2), third ? at + (headDim << 3) : products)
      }
    }
    if (count % 3 == 1) {
      const last = <usize>(count - 1)
      for (let c = g * group; c < (g + 1) * group; c += 16) {
        addCodes(codes + (c << 1), rows, headDim << 1, rounded + last * EACH, output + (last * headDim + c << 2))
      }
    }
  }
}
