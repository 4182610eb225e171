import { madd, maxLanes, multiplyBytes, sumLanes } from './simd'

/**
 * `count` products x * scales in 8 bits of their largest, in sixteens. Then what sums with codes start from, in the first of four words: codes count
 * from their middle, half of `top`. Then what a unit is worth, and the sum of x * middles.
 */
export function roundShort(x: usize, count: usize, scales: usize, middles: usize, top: i32, into: usize): void {
  let sizes = f32x4.splat(0)
  let rest = sizes
  for (let at: usize = 0; at < count << 2; at += 16) {
    const y = v128.load(x + at)
    sizes = f32x4.pmax(sizes, f32x4.abs(f32x4.mul(y, v128.load(scales + at))))
    rest = madd(rest, y, v128.load(middles + at))
  }
  const largest = maxLanes(sizes)
  const units = f32x4.splat(largest == 0 ? 0 : 127 / largest)
  let total = i32x4.splat(0)
  for (let at: usize = 0; at < count << 2; at += 64, into += 16) {
    const low = i16x8.narrow_i32x4_s(rounded(x + at, scales + at, units), rounded(x + at + 16, scales + at + 16, units))
    const high = i16x8.narrow_i32x4_s(rounded(x + at + 32, scales + at + 32, units), rounded(x + at + 48, scales + at + 48, units))
    const bytes = i8x16.narrow_i16x8_s(low, high)
    total = multiplyBytes(bytes, i8x16.splat(1), total)
    v128.store(into, bytes)
  }
  total = i32x4.add(total, v128.shuffle<i32>(total, total, 2, 3, 0, 1))
  total = i32x4.add(total, v128.shuffle<i32>(total, total, 1, 0, 3, 2))
  v128.store(into, v128.and(i32x4.shr_s(i32x4.mul(total, i32x4.splat(-top)), 1), i32x4(-1, 0, 0, 0)))
  store<f32>(into, largest / 127, 16)
  store<f32>(into, sumLanes(rest), 20)
}

@inline function rounded(x: usize, scale: usize, units: v128): v128 {
  return i32x4.relaxed_trunc_f32x4_s(f32x4.nearest(f32x4.mul(f32x4.mul(v128.load(x), v128.load(scale)), units)))
}

/** Minima become what the middle code stands for: rounding errors then meet codes as far as these are from there, half as far as from 0. */
export function middlesOf(scales: usize, minima: usize, count: usize, top: i32): void {
  const middle = f32x4.splat(<f32>top / 2)
  for (const end = minima + (count << 2); minima < end; minima += 16, scales += 16) {
    v128.store(minima, madd(v128.load(minima), v128.load(scales), middle))
  }
}
