import { madd, maxLanes, round4, sumLanes } from './simd'

/** Bytes of one query's rounded weights: 64 rows in 16 bits, then what a unit is worth and the weighted minimum. */
export const EACH: usize = 64 * 2 + 16

/** weight * scale in 16 bits, zeros up to a multiple of eight; what one unit of them is worth, and the sum of weight * minimum. */
export function roundWeights(weights: usize, rows: i32, scales: usize, minima: usize, products: usize, into: usize): void {
  let largest = f32x4.splat(0)
  let constants = largest
  let row = 0
  for (; row + 4 <= rows; row += 4) {
    const at = <usize>row << 2
    const w = v128.load(weights + at)
    const product = f32x4.mul(w, v128.load(scales + at))
    v128.store(products + at, product)
    largest = f32x4.pmax(largest, f32x4.abs(product))
    constants = madd(constants, w, v128.load(minima + at))
  }
  let top = maxLanes(largest)
  let constant = sumLanes(constants)
  for (; row < rows; row++) {
    const at = <usize>row << 2
    const w = load<f32>(weights + at)
    const product = w * load<f32>(scales + at)
    store<f32>(products + at, product)
    top = max(top, abs(product))
    constant += w * load<f32>(minima + at)
  }
  for (; row & 7; row++) store<f32>(products + (<usize>row << 2), 0)
  const inverse = f32x4.splat(top == 0 ? 0 : 32767 / top)
  for (let at: usize = 0; at < <usize>row << 2; at += 32) {
    const low = round4(f32x4.mul(v128.load(products + at), inverse))
    const high = round4(f32x4.mul(v128.load(products + at, 16), inverse))
    v128.store(into + (at >> 1), i16x8.narrow_i32x4_s(low, high))
  }
  store<f32>(into, top / 32767, 128)
  store<f32>(into, constant, 132)
}
