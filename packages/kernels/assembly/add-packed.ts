import { addCodes, addCodes3 } from './add-codes'
import { addShort, addShort3 } from './add-short'
import { codeBits, codeFactors, codeGroup, ENTRY, entryAddress, entryCapacity, entryCode, entryRows } from './page'
import { middlesOf, roundShort } from './round-short'
import { EACH, largestOf, roundWeights } from './round-weights'
import { BLOCK, isShort, STRIDE } from './simd'
import { spread } from './spread'
import { touch, touchNext } from './touch'
import { unpackFours, unpackPairs } from './unpack'

/**
 * output += weights `[query][STRIDE]` * packed values whose tokens have scales (axis token), without decoding them: the sum of
 * w * (code * scale + minimum) is the sum of (w * scale) * code plus a constant, group by group of channels. The products w * scale are
 * rounded to 16 bits of the largest weight times the largest scale, so that integers multiply, two rows at a time; with relaxed SIMD and codes of fewer than 8 bits to 8 bits of the largest, four rows at a time.
 * Takes up to `rows` rows, from row `start` of a page on, of as many pages as are of one kind, and returns how many it took. Meanwhile it touches those that come
 * next, if any of the `after` rows that follow are theirs.
 * A row's bytes and the group are multiples of 16. `scratch`: 512 bytes per group, 32, STRIDE per query, 3 EACH, then headDim bytes for each row.
 */
export function addPacked(entry: usize, start: i32, rows: i32, after: i32, headDim: usize, weights: usize, count: i32, output: usize, scratch: usize): i32 {
  const code = entryCode(entry)
  const bits = codeBits(code)
  const group = codeGroup(code)
  const perRow = headDim / group
  const scales = scratch
  const minima = scales + (perRow << 8)
  const unused = minima + (perRow << 8)
  const filled = unused + 32
  const rounded = filled + <usize>count * STRIDE
  const codes = rounded + 3 * EACH
  const short = ASC_FEATURE_RELAXED_SIMD && isShort(bits)
  let held = 0
  let rest = 0
  do {
    const take = min(rows - held, entryRows(entry) - start)
    rest = entryRows(entry) - start - take
    gatherRows(entry, start, take, bits, headDim, perRow, scales + (<usize>held << 2), minima + (<usize>held << 2), codes + <usize>held * headDim, short)
    held += take
    start = 0
    entry += ENTRY
    // Rows lie side by side in twos or fours, and a page's factors are its own.
  } while (held < rows && (held & 15) == 0 && entryCode(entry) == code && !codeFactors(code))
  touchNext(entry, rest > 0 ? 0 : min(rows - held + after, BLOCK), headDim)
  const whole = held + 15 & ~15
  if (whole > held) {
    for (let g: usize = 0; g < perRow << 1; g++) memory.fill(scales + (g << 8) + (<usize>held << 2), 0, <usize>(whole - held) << 2)
    weights = fillUp(weights, held, count, filled)
  }
  const top = (1 << <i32>bits) - 1
  if (short) middlesOf(scales, minima, perRow << 6, top)
  for (let i = 0; i < count; i += 3) {
    const from = weights + <usize>i * STRIDE
    const o = output + (<usize>i * headDim << 2)
    const taken = <usize>min(3, count - i)
    for (let g: usize = 0; g < perRow; g++) {
      const s = scales + (g << 8)
      const m = minima + (g << 8)
      if (short) for (let j: usize = 0; j < taken; j++) roundShort(from + j * STRIDE, whole, s, m, top, rounded + j * EACH)
      else {
        const largest = largestOf(s, whole)
        for (let j: usize = 0; j < taken; j++) roundWeights(from + j * STRIDE, whole, s, m, largest * largestOf(from + j * STRIDE, whole), rounded + j * EACH)
      }
      const end = (g + 1) * group
      if (taken == 1) {
        for (let c = g * group; c < end; c += 16) {
          touch(bits << 7)
          if (short) addShort(codes + (c << 2), whole, headDim << 2, rounded, o + (c << 2))
          else addCodes(codes + (c << 1), held, headDim << 1, rounded, o + (c << 2))
        }
        continue
      }
      // Two queries run as three; what the third adds is thrown away.
      for (let c = g * group; c < end; c += 8) {
        touch(bits << 6)
        const at = o + (c << 2)
        const third = taken == 3 ? at + (headDim << 3) : unused
        if (short) addShort3(codes + (c << 2), whole, headDim << 2, rounded, EACH, at, at + (headDim << 2), third)
        else addCodes3(codes + (c << 1), held, headDim << 1, rounded, at, at + (headDim << 2), third)
      }
    }
  }
  return held
}

/** Scales and minima of a page's rows to `[group][64]`, their codes side by side. */
@inline function gatherRows(
  entry: usize, start: i32, rows: i32, bits: usize, headDim: usize, perRow: usize, scales: usize, minima: usize, codes: usize, short: bool,
): void {
  const capacity = entryCapacity(entry)
  const rowBytes = headDim * bits >> 3
  const from = entryAddress(entry) + <usize>start * rowBytes
  const halves = entryAddress(entry) + capacity * rowBytes + (<usize>start * perRow << 1)
  spread(halves, rows, perRow, scales)
  spread(halves + (capacity * perRow << 1), rows, perRow, minima)
  if (short) unpackFours(from, rows, rowBytes, bits, codes)
  else unpackPairs(from, rows, rowBytes, bits, codes)
}

/** All queries' weights with zeros after the last row, where rounding reads on to a multiple of eight, or sixteen. */
function fillUp(weights: usize, rows: i32, count: i32, into: usize): usize {
  memory.fill(into, 0, <usize>count * STRIDE)
  for (let i: usize = 0; i < <usize>count; i++) memory.copy(into + i * STRIDE, weights + i * STRIDE, <usize>rows << 2)
  return into
}
