import { addCodes, addCodes3 } from './add-codes'
import { addShort, addShort3 } from './add-short'
import { codeBits, codeGroup } from './page'
import { middlesOf, roundShort } from './round-short'
import { EACH, roundWeights, roundWeights3 } from './round-weights'
import { STRIDE } from './simd'
import { spread } from './spread'
import { unpackFours, unpackPairs } from './unpack'

/**
 * output += weights `[query][STRIDE]` * packed values whose tokens have scales (axis token), without decoding them: the sum of
 * w * (code * scale + minimum) is the sum of (w * scale) * code plus a constant, group by group of channels. The products w * scale are
 * rounded to 16 bits of their largest, so that integers multiply, two rows at a time; with relaxed SIMD and codes of fewer than 8 bits to 8, four rows at a time.
 * A row's bytes and the group are multiples of 16. `scratch`: 512 bytes per group, 32, STRIDE per query, 3 EACH, then headDim bytes for each row.
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
  const unused = minima + (perRow << 8)
  const filled = unused + 32
  const rounded = filled + <usize>count * STRIDE
  const codes = rounded + 3 * EACH
  const whole = rows + 15 & ~15
  if (whole > rows) {
    memory.fill(scales, 0, perRow << 9)
    weights = fillUp(weights, rows, count, filled)
  }
  const halves = page + capacity * rowBytes + (<usize>start * perRow << 1)
  spread(halves, rows, perRow, scales)
  spread(halves + (capacity * perRow << 1), rows, perRow, minima)
  const short = ASC_FEATURE_RELAXED_SIMD && bits != 8
  const top = (1 << <i32>bits) - 1
  if (short) {
    middlesOf(scales, minima, perRow << 6, top)
    unpackFours(page + <usize>start * rowBytes, rows, rowBytes, bits, codes)
  } else unpackPairs(page + <usize>start * rowBytes, rows, rowBytes, bits, codes)
  for (let g: usize = 0; g < perRow; g++) {
    const end = (g + 1) * group
    for (let i = 0; i < count; i += 3) {
      const from = weights + <usize>i * STRIDE
      const o = output + (<usize>i * headDim << 2)
      if (i + 1 == count) {
        if (short) {
          roundShort(from, whole, scales + (g << 8), minima + (g << 8), top, rounded)
          for (let c = g * group; c < end; c += 16) addShort(codes + (c << 2), whole, headDim << 2, rounded, o + (c << 2))
          continue
        }
        roundWeights(from, whole, scales + (g << 8), minima + (g << 8), rounded)
        for (let c = g * group; c < end; c += 16) addCodes(codes + (c << 1), rows, headDim << 1, rounded, o + (c << 2))
        continue
      }
      // Two queries run as three; what the third adds is thrown away.
      const third = i + 2 < count
      if (short) {
        for (let j: usize = 0; j < 3; j++) roundShort(from + j * STRIDE, whole, scales + (g << 8), minima + (g << 8), top, rounded + j * EACH)
        for (let c = g * group; c < end; c += 8) {
          const at = o + (c << 2)
          addShort3(codes + (c << 2), whole, headDim << 2, rounded, EACH, at, at + (headDim << 2), third ? at + (headDim << 3) : unused)
        }
        continue
      }
      roundWeights3(from, whole, scales + (g << 8), minima + (g << 8), rounded)
      for (let c = g * group; c < end; c += 8) {
        const at = o + (c << 2)
        addCodes3(codes + (c << 1), rows, headDim << 1, rounded, at, at + (headDim << 2), third ? at + (headDim << 3) : unused)
      }
    }
  }
}

/** All queries' weights with zeros after the last row, where rounding reads on to a multiple of eight, or sixteen. */
function fillUp(weights: usize, rows: i32, count: i32, into: usize): usize {
  memory.fill(into, 0, <usize>count * STRIDE)
  for (let i: usize = 0; i < <usize>count; i++) memory.copy(into + i * STRIDE, weights + i * STRIDE, <usize>rows << 2)
  return into
}
