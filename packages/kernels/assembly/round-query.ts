import { madd, maxLanes, round4, sumLanes } from './simd'

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
  const inverse = f32x4.splat(top == 0 ? 0 : 32767 / top)
  for (let at: usize = 0; at < count << 2; at += 32) {
    v128.store(into + (at >> 1), i16x8.narrow_i32x4_s(scaled(query + at, scales + at, inverse), scaled(query + at + 16, scales + at + 16, inverse)))
  }
  store<f32>(into + (count << 1), top / 32767)
  store<f32>(into + (count << 1), sumLanes(constant), 4)
}

@inline function scaled(query: usize, scales: usize, inverse: v128): v128 {
  return round4(f32x4.mul(f32x4.mul(v128.load(query), v128.load(scales)), inverse))
}
