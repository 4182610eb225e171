import { sumLanes } from './simd'

/** What turns numbers into units, of which the largest one has 32767. */
@inline export function unitsOf(largest: f32): v128 {
  return f32x4.splat(largest == 0 ? 0 : 32767 / largest)
}

/** Stores what a unit is worth, and the sum of the lanes of what is added besides. */
@inline export function putUnit(at: usize, largest: f32, rest: v128): void {
  store<f32>(at, largest / 32767)
  store<f32>(at, sumLanes(rest), 4)
}
