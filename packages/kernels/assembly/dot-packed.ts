import { multiplyRows } from './channel-factors'
import { dotCodes, dotCodes3 } from './dot-codes'
import { dotShort, dotShort3 } from './dot-short'
import { loadHalves } from './half'
import { codeBits, codeByChannel, codeFactors, codeGroup, factorsOf } from './page'
import { roundQuery } from './round-query'
import { middlesOf, roundShort } from './round-short'
import { STRIDE } from './simd'
import { spread } from './spread'
import { unpackRows } from './unpack'

/**
 * Dot products of queries with packed keys, to `[query][STRIDE]`, without decoding them. Scale per channel: the sum of q * (code * scale +
 * minimum) is the sum of (q * scale) * code plus a constant. Scale per token and group: the sum of q * code in each group, times the scale, plus
 * minimum times the sum of q. What meets the codes is rounded to 16 bits of its largest, so that integers multiply: an error of 2^-16 of it per
 * channel, far below what 8 bits of codes have; with relaxed SIMD, what meets fewer bits is rounded to 8. Factors of channels go into the query.
 * A row's bytes and the groups are multiples of 16. `scratch`: scales and minima (512 bytes per group, or 8 headDim), factors, 2 group + 16 bytes for
 * each query, then headDim bytes for each row.
 */
export function dotPacked(
  page: usize, capacity: usize, code: i32, start: i32, rows: i32, headDim: usize, queries: usize, count: i32, into: usize, scratch: usize,
): void {
  const bits = codeBits(code)
  const rowBytes = headDim * bits >> 3
  const halves = page + capacity * rowBytes
  const byChannel = codeByChannel(code)
  const group = byChannel ? headDim : codeGroup(code)
  const groups = headDim / group
  const scales = scratch
  const minima = scales + (byChannel ? headDim << 2 : groups << 8)
  const factors = minima + (byChannel ? headDim << 2 : groups << 8)
  const rounded = factors + (max(headDim, 64) << 2)
  const each = (group << 1) + 16
  const unpacked = rounded + <usize>count * each
  for (let at = factors; at < rounded; at += 16) v128.store(at, f32x4.splat(1))
  if (codeFactors(code)) multiplyRows(factors, 1, headDim, factorsOf(page, capacity, code, headDim))
  if (byChannel) {
    for (let c: usize = 0; c < headDim; c += 4) {
      v128.store(scales + (c << 2), loadHalves(halves + (c << 1)))
      v128.store(minima + (c << 2), loadHalves(halves + (headDim + c << 1)))
    }
  } else {
    const from = halves + (<usize>start * groups << 1)
    spread(from, rows, groups, scales)
    spread(from + (capacity * groups << 1), rows, groups, minima)
  }
  let codes = page + <usize>start * rowBytes
  if (bits != 8) {
    unpackRows(codes, rows, rowBytes, bits, unpacked)
    codes = unpacked
  }
  const short = ASC_FEATURE_RELAXED_SIMD && bits != 8
  const top = (1 << <i32>bits) - 1
  if (short) middlesOf(scales, minima, byChannel ? headDim : groups << 6, top)
  for (let g: usize = 0; g < groups; g++) {
    const s = byChannel ? factors : scales + (g << 8)
    const m = byChannel ? factors : minima + (g << 8)
    const from = g * group
    for (let i = 0; i < count; i++) {
      const query = queries + (<usize>i * headDim + from << 2)
      const own = factors + (from << 2)
      const q = rounded + <usize>i * each
      if (short) roundShort(query, group, byChannel ? scales : own, byChannel ? minima : own, top, q)
      else roundQuery(query, group, byChannel ? scales : own, byChannel ? minima : own, q)
    }
    for (let i = 0; i < count; i += 3) {
      const q = rounded + <usize>i * each
      const o = into + <usize>i * STRIDE
      if (i + 1 == count) {
        if (short) dotShort(codes + from, rows, headDim, group, q, s, m, o, g == 0)
        else dotCodes(codes + from, rows, headDim, group, q, s, m, o, g == 0)
        continue
      }
      // Two queries run as three, the last one twice: the same numbers go to the same place.
      const third = <usize>min(2, count - 1 - i)
      if (short) dotShort3(codes + from, rows, headDim, group, q, q + each, q + third * each, s, m, o, o + STRIDE, o + third * STRIDE, g == 0)
      else dotCodes3(codes + from, rows, headDim, group, q, q + each, q + third * each, s, m, o, o + STRIDE, o + third * STRIDE, g == 0)
    }
  }
}
