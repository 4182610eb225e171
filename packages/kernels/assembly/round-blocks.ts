import { maxLanes, round4, sumLanes } from './simd'

/** What a row is multiplied by so that halves may be used as they lie, and what is then left of their 2^112: no activation is too large for it. */
export const RAISE: f32 = 1.2676506002282294e30
export const LEFT: f32 = 4096

/**
 * x * gain (or x, where gain is 0) as 16-bit integers with a unit for each 32 numbers, and the sums of what they stand for; units and sums
 * are raised.
 */
export function roundBlocks(x: usize, gain: usize, inputs: i32, into: usize, units: usize, sums: usize): void {
  for (const end = x + (<usize>inputs << 2); x < end; x += 128, into += 64, units += 4, sums += 4) {
    let most = f32x4.splat(0)
    for (let i: usize = 0; i < 128; i += 16) most = f32x4.max(most, f32x4.abs(gained(x + i, gain ? gain + i : 0)))
    const largest = maxLanes(most)
    const inverse = f32x4.splat(largest > 0 ? 32767 / largest : 0)
    let total = i32x4.splat(0)
    for (let i: usize = 0; i < 64; i += 16) {
      const at = gain ? gain + (i << 1) : 0
      const low = round4(f32x4.mul(gained(x + (i << 1), at), inverse))
      const high = round4(f32x4.mul(gained(x + (i << 1) + 16, at ? at + 16 : 0), inverse))
      total = i32x4.add(total, i32x4.add(low, high))
      v128.store(into + i, i16x8.narrow_i32x4_s(low, high))
    }
    const unit = largest / 32767 * RAISE
    store<f32>(units, unit)
    store<f32>(sums, sumLanes(f32x4.convert_i32x4_s(total)) * unit)
    if (gain) gain += 128
  }
}

/** x * gain (or x, where gain is 0) * factor. */
export function scaleRow(x: usize, gain: usize, inputs: i32, factor: f32, into: usize): void {
  for (let at: usize = 0; at < <usize>inputs << 2; at += 16) {
    v128.store(into + at, f32x4.mul(gained(x + at, gain ? gain + at : 0), f32x4.splat(factor)))
  }
}

@inline function gained(x: usize, gain: usize): v128 {
  return gain ? f32x4.mul(v128.load(x), v128.load(gain)) : v128.load(x)
}
