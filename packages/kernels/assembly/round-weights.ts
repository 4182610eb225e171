import { madd, magic, maxLanes, round8 } from './simd'
import { putUnit, unitsOf } from './units'

/** Bytes of one query's rounded weights: 64 rows in 16 bits, then what a unit is worth and the weighted minimum. */
export const EACH: usize = 64 * 2 + 16

/** The largest of `rows` weights or scales, a multiple of four. None is negative. */
export function largestOf(numbers: usize, rows: i32): f32 {
  let largest = f32x4.splat(0)
  for (const end = numbers + (<usize>rows << 2); numbers < end; numbers += 16) largest = f32x4.pmax(largest, v128.load(numbers))
  return maxLanes(largest)
}

/** weight * scale in 16 bits of `largest`, which none exceeds; what one unit of them is worth, and the sum of weight * minimum. `rows` is a multiple of eight. */
export function roundWeights(weights: usize, rows: i32, scales: usize, minima: usize, largest: f32, into: usize): void {
  const shift = magic
  const units = unitsOf(largest)
  let constants = f32x4.splat(0)
  const last = into + 128
  for (const end = weights + (<usize>rows << 2); weights < end; weights += 32, scales += 32, minima += 32, into += 16) {
    const w = v128.load(weights)
    const x = v128.load(weights, 16)
    v128.store(into, round8(f32x4.mul(f32x4.mul(w, v128.load(scales)), units), f32x4.mul(f32x4.mul(x, v128.load(scales, 16)), units), shift))
    constants = madd(madd(constants, w, v128.load(minima)), x, v128.load(minima, 16))
  }
  putUnit(last, largest, constants)
}
