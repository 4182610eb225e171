import { round4, sumLanes } from './simd'

/** What turns products into units, of which the largest one has 32767. */
@inline export function unitsOf(largest: f32): v128 {
  return f32x4.splat(largest == 0 ? 0 : 32767 / largest)
}

/** Eight products, w * s and x * t, in 16 bits. */
@inline export function roundProducts(w: v128, x: v128, s: v128, t: v128, units: v128): v128 {
  return i16x8.narrow_i32x4_s(round4(f32x4.mul(f32x4.mul(w, s), units)), round4(f32x4.mul(f32x4.mul(x, t), units)))
}

/** Stores what a unit is worth, and the sum of the lanes of what is added besides. */
@inline export function putUnit(at: usize, largest: f32, rest: v128): void {
  store<f32>(at, largest / 32767)
  store<f32>(at, sumLanes(rest), 4)
}
