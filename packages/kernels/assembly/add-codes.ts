import { EACH } from './round-weights'
import { madd } from './simd'

/**
 * output [16] += unit * (weights times rows) + rest. Rows are pairs of bytes, `pairBytes` from pair to pair; weights are 16-bit integers, of which
 * the one past an odd count is 0, and at 128 lie unit and rest.
 */
export function addCodes(codes: usize, rows: i32, pairBytes: usize, weights: usize, output: usize): void {
  let a = i32x4.splat(0)
  let b = a
  let c = a
  let d = a
  for (let w = weights, end = weights + (<usize>rows << 1); w < end; w += 4, codes += pairBytes) {
    const x = v128.load32_splat(w)
    a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load8x8_u(codes), x))
    b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load8x8_u(codes, 8), x))
    c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load8x8_u(codes, 16), x))
    d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load8x8_u(codes, 24), x))
  }
  const unit = v128.load32_splat(weights, 128)
  const rest = v128.load32_splat(weights, 132)
  addTo(output, a, unit, rest)
  addTo(output + 16, b, unit, rest)
  addTo(output + 32, c, unit, rest)
  addTo(output + 48, d, unit, rest)
}

/** The same of three queries, whose weights lie EACH apart, and eight channels. One address for all weights: loops as short as this feel each addition. */
export function addCodes3(codes: usize, rows: i32, pairBytes: usize, weights: usize, oa: usize, ob: usize, oc: usize): void {
  let a0 = i32x4.splat(0)
  let a1 = a0
  let b0 = a0
  let b1 = a0
  let c0 = a0
  let c1 = a0
  for (let at = weights, end = weights + (<usize>rows << 1); at < end; at += 4, codes += pairBytes) {
    const x = v128.load8x8_u(codes)
    const y = v128.load8x8_u(codes, 8)
    let w = v128.load32_splat(at)
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(x, w))
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(y, w))
    w = v128.load32_splat(at, EACH)
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(x, w))
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(y, w))
    w = v128.load32_splat(at, 2 * EACH)
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(x, w))
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(y, w))
  }
  add8(oa, a0, a1, weights)
  add8(ob, b0, b1, weights + EACH)
  add8(oc, c0, c1, weights + 2 * EACH)
}

@inline function add8(output: usize, a: v128, b: v128, weights: usize): void {
  const unit = v128.load32_splat(weights, 128)
  const rest = v128.load32_splat(weights, 132)
  addTo(output, a, unit, rest)
  addTo(output + 16, b, unit, rest)
}

@inline export function addTo(output: usize, sum: v128, unit: v128, rest: v128): void {
  v128.store(output, f32x4.add(v128.load(output), madd(rest, f32x4.convert_i32x4_s(sum), unit)))
}
