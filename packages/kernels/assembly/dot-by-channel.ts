import { dotCodes, dotCodes3 } from './dot-codes'
import { dotShort, dotShort3 } from './dot-short'
import { codeBits } from './page'
import { dotMinima3, MOST, refer, roundScales, scaleQuery, scaleQueryShort } from './round-channels'
import { roundedBytes, roundQueries } from './round-query'
import { isShort, STRIDE } from './simd'
import { unpackRows } from './unpack'

/**
 * Dot products of queries with packed keys whose channels have scales, to `[query][STRIDE]`, without decoding them: the sum of
 * q * (code * scale + minimum) is the sum of (q * scale) * code plus a constant. q and scales have 16 bits, and so have their products; with relaxed SIMD and
 * codes of fewer than 8 bits these have 8. `rounded`: the queries as roundQueries leaves them, times scales that they refer to, and these; they are made anew if `fresh`.
 * headDim and a row's bytes are multiples of 16. `scratch`: 6 headDim bytes, roundedBytes for each query, then headDim bytes for each row.
 */
export function dotByChannel(
  page: usize, capacity: usize, code: i32, start: i32, rows: i32, headDim: usize, queries: usize, rounded: usize, fresh: bool, count: i32, into: usize, scratch: usize,
): void {
  const bits = codeBits(code)
  const rowBytes = headDim * bits >> 3
  const scales = page + capacity * rowBytes
  const minima = scales + (headDim << 1)
  const each = roundedBytes(headDim)
  const shares = scratch + (headDim << 1)
  const scaled = shares + (headDim << 2)
  const unpacked = scaled + <usize>count * each
  let codes = page + <usize>start * rowBytes
  if (bits != 8) {
    unpackRows(codes, rows, rowBytes, bits, unpacked)
    codes = unpacked
  }
  const short = ASC_FEATURE_RELAXED_SIMD && isShort(bits)
  const top = (1 << <i32>bits) - 1
  const sum = short ? headDim + 20 : (headDim << 1) + 4
  const reference = rounded + <usize>count * each
  let largest: f32 = fresh ? Infinity : roundScales(scales, reference + (headDim << 2), headDim, scratch, shares)
  if (largest > MOST) {
    refer(scales, headDim, reference)
    roundQueries(queries, count, headDim, headDim, reference, rounded)
    largest = roundScales(scales, reference + (headDim << 2), headDim, scratch, shares)
  }
  const unit = largest / 32767
  for (let i: usize = 0; i < <usize>count; i += 3) {
    // Two queries run as three, the last one twice: the same numbers go to the same place.
    const last = <usize>count - 1
    const second = min(i + 1, last)
    const third = min(i + 2, last)
    const a = scaled + i * each
    const b = scaled + second * each
    const c = scaled + third * each
    const q = headDim << 2
    dotMinima3(minima, headDim, queries + i * q, queries + second * q, queries + third * q, a + sum, b + sum, c + sum)
    for (let j = i; j <= third; j++) {
      if (short) scaleQueryShort(rounded + j * each, headDim, scratch, unit, top, scaled + j * each)
      else scaleQuery(rounded + j * each, headDim, scratch, unit, scaled + j * each)
    }
    const o = into + i * STRIDE
    const p = into + second * STRIDE
    const r = into + third * STRIDE
    if (short) {
      if (i == last) dotShort(codes, rows, headDim, headDim, a, 0, 0, o, true)
      else dotShort3(codes, rows, headDim, headDim, a, b, c, 0, 0, o, p, r, true)
    } else if (i == last) dotCodes(codes, rows, headDim, headDim, a, 0, 0, o, true)
    else dotCodes3(codes, rows, headDim, headDim, a, b, c, 0, 0, o, p, r, true)
  }
}
