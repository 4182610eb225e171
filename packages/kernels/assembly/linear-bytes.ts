import { halfBits, halfMask } from './half'
import { LEFT } from './round-blocks'
import { madd } from './simd'

/** One row, as roundBlocks leaves it, times weights in 8 bits. A lane of a product is an output's pair of inputs. */
export function linearBytes(x: usize, units: usize, blocks: i32, codes: usize, scales: usize, outputs: i32, into: usize): void {
  const mask = halfMask
  const last = units + (<usize>blocks << 2)
  for (const end = into + (<usize>outputs << 2); into < end; into += 32) {
    let s = f32x4.splat(0)
    let t = s
    for (let own = units, at = x; own < last; own += 4, scales += 16) {
      let a = i32x4.splat(0)
      let b = a
      for (const stop = at + 64; at < stop; at += 8, codes += 32) {
        let pair = v128.load32_splat(at)
        a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load8x8_s(codes), pair))
        b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load8x8_s(codes, 8), pair))
        pair = v128.load32_splat(at, 4)
        a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load8x8_s(codes, 16), pair))
        b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load8x8_s(codes, 24), pair))
      }
      const unit = v128.load32_splat(own)
      s = madd(s, f32x4.mul(halfBits(scales, mask), unit), f32x4.convert_i32x4_s(a))
      t = madd(t, f32x4.mul(halfBits(scales + 8, mask), unit), f32x4.convert_i32x4_s(b))
    }
    v128.store(into, madd(v128.load(into), s, f32x4.splat(LEFT)))
    v128.store(into, madd(v128.load(into, 16), t, f32x4.splat(LEFT)), 16)
  }
}
