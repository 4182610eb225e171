import { halfBits, halfMask } from './half'
import { LEFT } from './round-blocks'
import { madd } from './simd'

/** The same of weights in 4 bits, with minima: those times the sums of the row's blocks are added. `bits`, 4, is an argument for the mask's sake: see codeMask. */
export function linearNibbles(
  x: usize, units: usize, sums: usize, blocks: i32, codes: usize, scales: usize, minima: usize, outputs: i32, into: usize, bits: i32,
): void {
  const last = units + (<usize>blocks << 2)
  const mask = halfMask
  const largest = (1 << bits) - 1
  const low = i16x8.splat(<i16>largest)
  for (const end = into + (<usize>outputs << 2); into < end; into += 32) {
    let s = f32x4.splat(0)
    let t = s
    for (let own = units, sum = sums, at = x; own < last; own += 4, sum += 4, at += 32, scales += 16, minima += 16) {
      let a = i32x4.splat(0)
      let b = a
      for (const stop = at + 32; at < stop; at += 4, codes += 16) {
        const pair = v128.load32_splat(at)
        const other = v128.load32_splat(at, 32)
        const c = v128.load8x8_u(codes)
        const d = v128.load8x8_u(codes, 8)
        a = i32x4.add(a, i32x4.dot_i16x8_s(v128.and(c, low), pair))
        b = i32x4.add(b, i32x4.dot_i16x8_s(v128.and(d, low), pair))
        a = i32x4.add(a, i32x4.dot_i16x8_s(i16x8.shr_u(c, 4), other))
        b = i32x4.add(b, i32x4.dot_i16x8_s(i16x8.shr_u(d, 4), other))
      }
      const unit = v128.load32_splat(own)
      const total = v128.load32_splat(sum)
      s = madd(madd(s, f32x4.mul(halfBits(scales, mask), unit), f32x4.convert_i32x4_s(a)), halfBits(minima, mask), total)
      t = madd(madd(t, f32x4.mul(halfBits(scales + 8, mask), unit), f32x4.convert_i32x4_s(b)), halfBits(minima + 8, mask), total)
    }
    v128.store(into, madd(v128.load(into), s, f32x4.splat(LEFT)))
    v128.store(into, madd(v128.load(into, 16), t, f32x4.splat(LEFT)), 16)
  }
}
