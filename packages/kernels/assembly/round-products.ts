import { round4, sumLanes } from './simd'

/** The most units that a product has in 16 bits, and in 8. */
export const WORD: f32 = 32767
export const BYTE: f32 = 127

/** What turns products into units, of which the largest one has `most`. */
@inline export function unitsOf(largest: f32, most: f32): v128 {
  return f32x4.splat(largest == 0 ? 0 : most / largest)
}

/** Eight products, w * s and x * t, in 16 bits. */
@inline export function roundProducts(w: v128, x: v128, s: v128, t: v128, units: v128): v128 {
  return i16x8.narrow_i32x4_s(round4(f32x4.mul(f32x4.mul(w, s), units)), round4(f32x4.mul(f32x4.mul(x, t), units)))
}

/** Stores what a unit is worth, and the sum of the lanes of what is added besides. */
@inline export function putUnit(at: usize, unit: f32, rest: v128): void {
  store<f32>(at, unit)
  store<f32>(at, sumLanes(rest), 4)
}
