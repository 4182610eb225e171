import { putUnit, roundProducts, unitsOf } from './round-products'
import { madd, maxLanes, STRIDE } from './simd'

/** Bytes of one query's rounded weights: 64 rows in 16 bits, then what a unit is worth and the weighted minimum. */
export const EACH: usize = 64 * 2 + 16

/** weight * scale in 16 bits; what one unit of them is worth, and the sum of weight * minimum. `rows` is a multiple of eight. */
export function roundWeights(weights: usize, rows: i32, scales: usize, minima: usize, into: usize): void {
  const bytes = <usize>rows << 2
  let largest = f32x4.splat(0)
  for (let at: usize = 0; at < bytes; at += 16) largest = f32x4.pmax(largest, f32x4.mul(v128.load(weights + at), v128.load(scales + at)))
  const top = maxLanes(largest)
  const inverse = unitsOf(top)
  let constants = f32x4.splat(0)
  for (let at: usize = 0; at < bytes; at += 32, into += 16) {
    const w = v128.load(weights + at)
    const x = v128.load(weights + at, 16)
    v128.store(into, roundProducts(w, x, v128.load(scales + at), v128.load(scales + at, 16), inverse))
    constants = madd(madd(constants, w, v128.load(minima + at)), x, v128.load(minima + at, 16))
  }
  putUnit(into + 128 - (bytes >> 1), top, constants)
}

/** The same of three queries, whose weights lie STRIDE apart and go EACH apart. */
export function roundWeights3(weights: usize, rows: i32, scales: usize, minima: usize, into: usize): void {
  const bytes = <usize>rows << 2
  let a = f32x4.splat(0)
  let b = a
  let c = a
  for (let at: usize = 0; at < bytes; at += 16) {
    const scale = v128.load(scales + at)
    const from = weights + at
    a = f32x4.pmax(a, f32x4.mul(v128.load(from), scale))
    b = f32x4.pmax(b, f32x4.mul(v128.load(from, STRIDE), scale))
    c = f32x4.pmax(c, f32x4.mul(v128.load(from, 2 * STRIDE), scale))
  }
  const topA = maxLanes(a)
  const topB = maxLanes(b)
  const topC = maxLanes(c)
  const ia = unitsOf(topA)
  const ib = unitsOf(topB)
  const ic = unitsOf(topC)
  a = f32x4.splat(0)
  b = a
  c = a
  for (let at: usize = 0; at < bytes; at += 32, into += 16) {
    const from = weights + at
    const s = v128.load(scales + at)
    const t = v128.load(scales + at, 16)
    const m = v128.load(minima + at)
    const n = v128.load(minima + at, 16)
    let w = v128.load(from)
    let x = v128.load(from, 16)
    v128.store(into, roundProducts(w, x, s, t, ia))
    a = madd(madd(a, w, m), x, n)
    w = v128.load(from, STRIDE)
    x = v128.load(from, STRIDE + 16)
    v128.store(into, roundProducts(w, x, s, t, ib), EACH)
    b = madd(madd(b, w, m), x, n)
    w = v128.load(from, 2 * STRIDE)
    x = v128.load(from, 2 * STRIDE + 16)
    v128.store(into, roundProducts(w, x, s, t, ic), 2 * EACH)
    c = madd(madd(c, w, m), x, n)
  }
  into += 128 - (bytes >> 1)
  putUnit(into, topA, a)
  putUnit(into + EACH, topB, b)
  putUnit(into + 2 * EACH, topC, c)
}
