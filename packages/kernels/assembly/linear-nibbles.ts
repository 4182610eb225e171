import { halfBits } from './half'
import { LEFT } from './round-blocks'
import { madd } from './simd'

/**
 * The same of weights in 4 bits, with minima: those times the sums of the row's blocks are added. Four inputs of an output lie together: a product has two
 * lanes for each output. `bits`, 4, is an argument for the mask's sake: see codeMask.
 */
export function linearNibbles(
  x: usize, units: usize, sums: usize, blocks: i32, codes: usize, scales: usize, minima: usize, outputs: i32, into: usize, bits: i32,
): void {
  const last = units + (<usize>blocks << 2)
  const mask = (1 << bits) - 1
  const low = i16x8.splat(<i16>mask)
  for (const end = into + (<usize>outputs << 2); into < end; into += 32) {
    let s = f32x4.splat(0)
    let t = s
    for (let own = units, sum = sums, at = x; own < last; own += 4, sum += 4, at += 32, scales += 16, minima += 16) {
      let a = i32x4.splat(0)
      let b = a
      let c = a
      let d = a
      for (const stop = at + 32; at < stop; at += 8, codes += 32) {
        const four = v128.load64_splat(at)
        const other = v128.load64_splat(at, 32)
        let x = v128.load8x8_u(codes)
        a = i32x4.add(a, i32x4.dot_i16x8_s(v128.and(x, low), four))
        a = i32x4.add(a, i32x4.dot_i16x8_s(i16x8.shr_u(x, 4), other))
        x = v128.load8x8_u(codes, 8)
        b = i32x4.add(b, i32x4.dot_i16x8_s(v128.and(x, low), four))
        b = i32x4.add(b, i32x4.dot_i16x8_s(i16x8.shr_u(x, 4), other))
        x = v128.load8x8_u(codes, 16)
        c = i32x4.add(c, i32x4.dot_i16x8_s(v128.and(x, low), four))
        c = i32x4.add(c, i32x4.dot_i16x8_s(i16x8.shr_u(x, 4), other))
        x = v128.load8x8_u(codes, 24)
        d = i32x4.add(d, i32x4.dot_i16x8_s(v128.and(x, low), four))
        d = i32x4.add(d, i32x4.dot_i16x8_s(i16x8.shr_u(x, 4), other))
      }
      a = addPairs(a, b)
      b = addPairs(c, d)
      const unit = v128.load32_splat(own)
      const total = v128.load32_splat(sum)
      s = madd(madd(s, f32x4.mul(halfBits(scales), unit), f32x4.convert_i32x4_s(a)), halfBits(minima), total)
      t = madd(madd(t, f32x4.mul(halfBits(scales + 8), unit), f32x4.convert_i32x4_s(b)), halfBits(minima + 8), total)
    }
    v128.store(into, madd(v128.load(into), s, f32x4.splat(LEFT)))
    v128.store(into, madd(v128.load(into, 16), t, f32x4.splat(LEFT)), 16)
  }
}

/** The sums of neighbouring lanes. */
@inline function addPairs(a: v128, b: v128): v128 {
  return i32x4.add(v128.shuffle<i32>(a, b, 0, 2, 4, 6), v128.shuffle<i32>(a, b, 1, 3, 5, 7))
}
