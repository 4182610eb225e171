import { halfBits } from './half'
import { LEFT } from './round-blocks'
import { madd, multiplyBytes } from './simd'

/** The same of a row in 8 bits: a lane of a product is four inputs of an output. */
export function linearShort(
  x: usize, units: usize, sums: usize, blocks: i32, codes: usize, scales: usize, minima: usize, outputs: i32, into: usize, bits: i32,
): void {
  const last = units + (<usize>blocks << 2)
  const mask = (1 << bits) - 1
  const low = i8x16.splat(<i8>mask)
  for (const end = into + (<usize>outputs << 2); into < end; into += 32) {
    let s = f32x4.splat(0)
    let t = s
    for (let own = units, sum = sums, at = x; own < last; own += 4, sum += 4, at += 16, scales += 16, minima += 16) {
      let a = i32x4.splat(0)
      let b = a
      for (const stop = at + 16; at < stop; at += 4, codes += 32) {
        const four = v128.load32_splat(at)
        const other = v128.load32_splat(at, 16)
        const c = v128.load(codes)
        const d = v128.load(codes, 16)
        a = multiplyBytes(four, v128.and(c, low), a)
        b = multiplyBytes(four, v128.and(d, low), b)
        a = multiplyBytes(other, v128.and(i16x8.shr_u(c, 4), low), a)
        b = multiplyBytes(other, v128.and(i16x8.shr_u(d, 4), low), b)
      }
      const unit = v128.load32_splat(own)
      const total = v128.load32_splat(sum)
      s = madd(madd(s, f32x4.mul(halfBits(scales), unit), f32x4.convert_i32x4_s(a)), halfBits(minima), total)
      t = madd(madd(t, f32x4.mul(halfBits(scales + 8), unit), f32x4.convert_i32x4_s(b)), halfBits(minima + 8), total)
    }
    v128.store(into, madd(v128.load(into), s, f32x4.splat(LEFT)))
    v128.store(into, madd(v128.load(into, 16), t, f32x4.splat(LEFT)), 16)
  }
}
