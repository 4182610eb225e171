import { putUnit, roundProducts, unitsOf } from './round-products'
import { madd, maxLanes } from './simd'

/**
 * `count` channels of a query times `scales`, in 16 bits; then what one unit of them is worth, then the sum of query * minima.
 */
export function roundQuery(query: usize, count: usize, scales: usize, minima: usize, into: usize): void {
  let largest = f32x4.splat(0)
  let constant = largest
  for (let at: usize = 0; at < count << 2; at += 16) {
    const q = v128.load(query + at)
    largest = f32x4.pmax(largest, f32x4.abs(f32x4.mul(q, v128.load(scales + at))))
    constant = madd(constant, q, v128.load(minima + at))
  }
  const top = maxLanes(largest)
  const units = unitsOf(top)
  for (let at: usize = 0; at < count << 2; at += 32) {
    v128.store(into + (at >> 1), roundProducts(v128.load(query + at), v128.load(query + at, 16), v128.load(scales + at), v128.load(scales + at, 16), units))
  }
  putUnit(into + (count << 1), top, constant)
}
