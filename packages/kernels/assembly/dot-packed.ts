import { dotPackedOne } from './dot-packed-one'
import { loadHalves } from './half'
import { codeBits } from './page'
import { madd, maxLanes, STRIDE, sum4, sumLanes } from './simd'

/**
 * Dot products of queries with packed keys whose channels have scales (axis channel), to `[query][STRIDE]`, without decoding them:
 * sum of q * (code * scale + minimum) is the sum of (q * scale) * code plus a constant. The products q * scale are rounded to 16 bits of
 * their largest, so that integers multiply: an error of 2^-16 of it per channel, far below what 8 bits of codes have.
 * A row's bytes are a multiple of 16. `scratch`: 8 headDim bytes, then per query 2 headDim + 16.
 */
export function dotPacked(
  page: usize, capacity: usize, code: i32, start: i32, rows: i32, headDim: usize, queries: usize, count: i32, into: usize, scratch: usize,
): void {
  const bits = codeBits(code)
  const rowBytes = headDim * bits >> 3
  const scales = scratch
  const minima = scales + (headDim << 2)
  const rounded = minima + (headDim << 2)
  const each = (headDim << 1) + 16
  const halves = page + capacity * rowBytes
  for (let c: usize = 0; c < headDim; c += 4) {
    v128.store(scales + (c << 2), loadHalves(halves + (c << 1)))
    v128.store(minima + (c << 2), loadHalves(halves + (headDim + c << 1)))
  }
  for (let i = 0; i < count; i++) roundQuery(queries + (<usize>i * headDim << 2), headDim, scales, minima, rounded + <usize>i * each)
  const keys = page + <usize>start * rowBytes
  for (let done = 0; done < count; done += 3) {
    if (done + 1 == count) {
      dotPackedOne(keys, rows, rowBytes, bits, headDim, rounded + <usize>done * each, into + <usize>done * STRIDE)
      return
    }
    const second = <usize>min(done + 1, count - 1)
    const third = <usize>min(done + 2, count - 1)
    dot3(keys, rows, rowBytes, bits, headDim, rounded + <usize>done * each, rounded + second * each, rounded + third * each,
      into + <usize>done * STRIDE, into + second * STRIDE, into + third * STRIDE)
  }
}

/** q * scale in 16 bits `[headDim]`, then what one unit of them is worth, then the sum of q * minimum. */
function roundQuery(query: usize, headDim: usize, scales: usize, minima: usize, into: usize): void {
  let largest = f32x4.splat(0)
  let constant = largest
  for (let at: usize = 0; at < headDim << 2; at += 16) {
    const q = v128.load(query + at)
    largest = f32x4.pmax(largest, f32x4.abs(f32x4.mul(q, v128.load(scales + at))))
    constant = madd(constant, q, v128.load(minima + at))
  }
  const top = maxLanes(largest)
  const inverse = f32x4.splat(top == 0 ? 0 : 32767 / top)
  for (let at: usize = 0; at < headDim << 2; at += 32) {
    const low = f32x4.mul(f32x4.mul(v128.load(query + at), v128.load(scales + at)), inverse)
    const high = f32x4.mul(f32x4.mul(v128.load(query + at, 16), v128.load(scales + at, 16)), inverse)
    const words = i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(f32x4.nearest(low)), i32x4.trunc_sat_f32x4_s(f32x4.nearest(high)))
    v128.store(into + (at >> 1), words)
  }
  store<f32>(into + (headDim << 1), top / 32767)
  store<f32>(into + (headDim << 1), sumLanes(constant), 4)
}

/** Two rows a turn, three queries; a lone last row is paired with itself. */
function dot3(
  keys: usize, rows: i32, rowBytes: usize, bits: usize, headDim: usize, qa: usize, qb: usize, qc: usize, oa: usize, ob: usize, oc: usize,
): void {
  const levels: i32 = (1 << <i32>bits) - 1
  const mask = i8x16.splat(<i8>levels)
  const planes = 8 / <i32>bits
  const worth = headDim << 1
  const unitAB = v128.shuffle<f32>(v128.load32_splat(qa + worth), v128.load32_splat(qb + worth), 0, 1, 4, 5)
  const restAB = v128.shuffle<f32>(v128.load32_splat(qa + worth, 4), v128.load32_splat(qb + worth, 4), 0, 1, 4, 5)
  const unitC = v128.load32_splat(qc + worth)
  const restC = v128.load32_splat(qc + worth, 4)
  for (let row = 0; row < rows; row += 2, oa += 8, ob += 8, oc += 8) {
    const k = keys + <usize>row * rowBytes
    const l = row + 1 < rows ? k + rowBytes : k
    let a0 = i32x4.splat(0)
    let a1 = a0
    let b0 = a0
    let b1 = a0
    let c0 = a0
    let c1 = a0
    for (let j: usize = 0; j < rowBytes; j += 16) {
      let codes = v128.load(k + j)
      let others = v128.load(l + j)
      let a = qa + (j << 1)
      let b = qb + (j << 1)
      let c = qc + (j << 1)
      // Plane by plane of the same bytes; a shift by a constant costs a third of one by a variable.
      for (let plane = 0; ; a += rowBytes << 1, b += rowBytes << 1, c += rowBytes << 1) {
        const x = v128.and(codes, mask)
        const y = v128.and(others, mask)
        let low = i16x8.extend_low_i8x16_u(x)
        let other = i16x8.extend_low_i8x16_u(y)
        let q = v128.load(a)
        a0 = i32x4.add(a0, i32x4.dot_i16x8_s(low, q))
        a1 = i32x4.add(a1, i32x4.dot_i16x8_s(other, q))
        q = v128.load(b)
        b0 = i32x4.add(b0, i32x4.dot_i16x8_s(low, q))
        b1 = i32x4.add(b1, i32x4.dot_i16x8_s(other, q))
        q = v128.load(c)
        c0 = i32x4.add(c0, i32x4.dot_i16x8_s(low, q))
        c1 = i32x4.add(c1, i32x4.dot_i16x8_s(other, q))
        low = i16x8.extend_high_i8x16_u(x)
        other = i16x8.extend_high_i8x16_u(y)
        q = v128.load(a, 16)
        a0 = i32x4.add(a0, i32x4.dot_i16x8_s(low, q))
        a1 = i32x4.add(a1, i32x4.dot_i16x8_s(other, q))
        q = v128.load(b, 16)
        b0 = i32x4.add(b0, i32x4.dot_i16x8_s(low, q))
        b1 = i32x4.add(b1, i32x4.dot_i16x8_s(other, q))
        q = v128.load(c, 16)
        c0 = i32x4.add(c0, i32x4.dot_i16x8_s(low, q))
        c1 = i32x4.add(c1, i32x4.dot_i16x8_s(other, q))
        if (++plane == planes) break
        if (planes == 2) {
          codes = i16x8.shr_u(codes, 4)
          others = i16x8.shr_u(others, 4)
        } else {
          codes = i16x8.shr_u(codes, 2)
          others = i16x8.shr_u(others, 2)
        }
      }
    }
    const ab = madd(restAB, sum4(f32x4.convert_i32x4_s(a0), f32x4.convert_i32x4_s(a1), f32x4.convert_i32x4_s(b0), f32x4.convert_i32x4_s(b1)), unitAB)
    v128.store64_lane(oa, ab, 0)
    v128.store64_lane(ob, ab, 1)
    const d0 = f32x4.convert_i32x4_s(c0)
    const d1 = f32x4.convert_i32x4_s(c1)
    v128.store64_lane(oc, madd(restC, sum4(d0, d1, d0, d1), unitC), 0)
  }
}
