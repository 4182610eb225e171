import { dotCodes, dotCodes3 } from './dot-codes'
import { dotShort, dotShort3 } from './dot-short'
import { codeBits, codeGroup } from './page'
import { roundedBytes } from './round-query'
import { middlesOf } from './round-short'
import { isShort, STRIDE } from './simd'
import { spread } from './spread'
import { unpackRows } from './unpack'

/**
 * Dot products of queries with packed keys whose tokens have scales, to `[query][STRIDE]`, without decoding them: for each group of channels the sum of
 * q * code, times the scale, plus minimum times the sum of q. `rounded`: the queries as roundQueries leaves them, times factors of channels where there are
 * any; with relaxed SIMD and codes of fewer than 8 bits, as roundQueriesShort does. A row's bytes and the groups are multiples of 16.
 * `scratch`: 512 bytes per group, then headDim bytes for each row.
 */
export function dotByToken(
  page: usize, capacity: usize, code: i32, start: i32, rows: i32, headDim: usize, rounded: usize, count: i32, into: usize, scratch: usize,
): void {
  const bits = codeBits(code)
  const rowBytes = headDim * bits >> 3
  const group = codeGroup(code)
  const groups = headDim / group
  const each = roundedBytes(group)
  const minima = scratch + (groups << 8)
  const unpacked = minima + (groups << 8)
  const halves = page + capacity * rowBytes + (<usize>start * groups << 1)
  spread(halves, rows, groups, scratch)
  spread(halves + (capacity * groups << 1), rows, groups, minima)
  let codes = page + <usize>start * rowBytes
  if (bits != 8) {
    unpackRows(codes, rows, rowBytes, bits, unpacked)
    codes = unpacked
  }
  const short = ASC_FEATURE_RELAXED_SIMD && isShort(bits)
  if (short) middlesOf(scratch, minima, groups << 6, (1 << <i32>bits) - 1)
  for (let g: usize = 0; g < groups; g++, codes += group, rounded += <usize>count * each) {
    const s = scratch + (g << 8)
    const m = minima + (g << 8)
    for (let i = 0; i < count; i += 3) {
      const q = rounded + <usize>i * each
      const o = into + <usize>i * STRIDE
      if (i + 1 == count) {
        if (short) dotShort(codes, rows, headDim, group, q, s, m, o, g == 0)
        else dotCodes(codes, rows, headDim, group, q, s, m, o, g == 0)
        continue
      }
      // Two queries run as three, the last one twice: the same numbers go to the same place.
      const third = <usize>min(2, count - 1 - i)
      if (short) dotShort3(codes, rows, headDim, group, q, q + each, q + third * each, s, m, o, o + STRIDE, o + third * STRIDE, g == 0)
      else dotCodes3(codes, rows, headDim, group, q, q + each, q + third * each, s, m, o, o + STRIDE, o + third * STRIDE, g == 0)
    }
  }
}
