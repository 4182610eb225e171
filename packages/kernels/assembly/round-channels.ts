import { lack, loadHalves, positiveHalfBits } from './half'
import { madd, magic, maxLanes, multiplyBytes, multiplyHigh, round8, sumLanes } from './simd'
import { unitsOf } from './units'

/** Scales may differ from page to page by so much until another page is referred to. */
export const MOST: f32 = 8
/** A scale counts as at least this share of its page's largest: a channel that hardly varies here may vary elsewhere. */
const LEAST: f32 = 1 / 32

/**
 * Channels differ in their scales by far, pages hardly. So a query is rounded times one page's scales, and other pages' scales are rounded as shares of those:
 * with 16 bits for either, small channels beside large ones keep theirs. Writes the page's scales, `[headDim]` floats, and behind them their inverses.
 */
export function refer(halves: usize, headDim: usize, into: usize): void {
  let sizes = f32x4.splat(0)
  for (let c: usize = 0; c < headDim; c += 4) sizes = f32x4.pmax(sizes, loadHalves(halves + (c << 1)))
  const largest = maxLanes(sizes)
  const least = f32x4.splat(largest == 0 ? 1 : largest * LEAST)
  for (let c: usize = 0; c < headDim; c += 4) {
    const scale = f32x4.pmax(least, loadHalves(halves + (c << 1)))
    v128.store(into + (c << 2), scale)
    v128.store(into + (headDim + c << 2), f32x4.div(f32x4.splat(1), scale))
  }
}

/** Shares, scales times `inverses`, in 16 bits of their largest, which is returned. `scratch`: headDim floats. */
export function roundScales(halves: usize, inverses: usize, headDim: usize, into: usize, scratch: usize): f32 {
  const raise = lack
  const shift = magic
  let sizes = f32x4.splat(0)
  for (let c: usize = 0; c < headDim << 2; c += 16) {
    const share = f32x4.mul(f32x4.mul(positiveHalfBits(halves + (c >> 1)), raise), v128.load(inverses + c))
    v128.store(scratch + c, share)
    sizes = f32x4.pmax(sizes, share)
  }
  const largest = maxLanes(sizes)
  const units = unitsOf(largest)
  for (let c: usize = 0; c < headDim << 2; c += 32) {
    v128.store(into + (c >> 1), round8(f32x4.mul(v128.load(scratch + c), units), f32x4.mul(v128.load(scratch + c, 16), units), shift))
  }
  return largest
}

/** Three queries' sums of query * minimum, minima being halves. */
export function dotMinima3(minima: usize, headDim: usize, a: usize, b: usize, c: usize, intoA: usize, intoB: usize, intoC: usize): void {
  let x = f32x4.splat(0)
  let y = x
  let z = x
  for (const end = minima + (headDim << 1); minima < end; minima += 8, a += 16, b += 16, c += 16) {
    const minimum = loadHalves(minima)
    x = madd(x, v128.load(a), minimum)
    y = madd(y, v128.load(b), minimum)
    z = madd(z, v128.load(c), minimum)
  }
  store<f32>(intoA, sumLanes(x))
  store<f32>(intoB, sumLanes(y))
  store<f32>(intoC, sumLanes(z))
}

/** A rounded query times rounded scales, to 16 bits; then what a unit is worth. The sum of query * minimum, behind it, stays. */
export function scaleQuery(query: usize, headDim: usize, scales: usize, scaleUnit: f32, into: usize): void {
  const end = query + (headDim << 1)
  for (; query < end; query += 16, scales += 16, into += 16) v128.store(into, multiplyHigh(v128.load(query), v128.load(scales)))
  store<f32>(into, load<f32>(end) * scaleUnit * 32768)
}

/** The same to 8 bits of the largest product, as roundShort leaves them; `top` is the largest code. To the sum of query * minimum is added that of query * scale times the middle code. */
export function scaleQueryShort(query: usize, headDim: usize, scales: usize, scaleUnit: f32, top: i32, into: usize): void {
  const end = query + (headDim << 1)
  const unit = load<f32>(end) * scaleUnit * 32768
  const ones = i16x8.splat(1)
  let sizes = i16x8.splat(0)
  let sum = sizes
  for (let at = query, by = scales; at < end; at += 16, by += 16) {
    const x = multiplyHigh(v128.load(at), v128.load(by))
    sizes = i16x8.max_s(sizes, i16x8.abs(x))
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(x, ones))
  }
  const largest = largestOf(sizes)
  // Products far below their largest possible size are left as they are: 127 of them is enough for all.
  const factor = largest > 127 ? (127 << 15) / largest : 32767
  const factors = i16x8.splat(<i16>factor)
  const bytes = i8x16.splat(1)
  let total = i32x4.splat(0)
  for (; query < end; query += 32, scales += 32, into += 16) {
    const x = multiplyHigh(multiplyHigh(v128.load(query), v128.load(scales)), factors)
    const y = multiplyHigh(multiplyHigh(v128.load(query, 16), v128.load(scales, 16)), factors)
    const z = i8x16.narrow_i16x8_s(x, y)
    total = multiplyBytes(z, bytes, total)
    v128.store(into, z)
  }
  v128.store(into, i32x4.replace_lane(i32x4.splat(0), 0, -top * sumOf(total) >> 1))
  store<f32>(into, unit * (32768 / <f32>factor), 16)
  store<f32>(into, load<f32>(into, 20) + <f32>sumOf(sum) * unit * (<f32>top / 2), 20)
}

@inline function sumOf(x: v128): i32 {
  const y = i32x4.add(x, v128.shuffle<i32>(x, x, 2, 3, 0, 1))
  return i32x4.extract_lane(y, 0) + i32x4.extract_lane(y, 1)
}

@inline function largestOf(x: v128): i32 {
  const y = i16x8.max_s(x, v128.shuffle<i16>(x, x, 4, 5, 6, 7, 0, 1, 2, 3))
  const z = i16x8.max_s(y, v128.shuffle<i16>(y, y, 2, 3, 0, 1, 2, 3, 0, 1))
  return max<i32>(i16x8.extract_lane_s(z, 0), i16x8.extract_lane_s(z, 1))
}
