import { halfBits, halfMask } from './half'
import { LEFT } from './round-blocks'
import { madd } from './simd'

/** One raised row times weights that are halves. */
export function linearHalves(x: usize, inputs: i32, codes: usize, outputs: i32, into: usize): void {
  const mask = halfMask
  const stop = x + (<usize>inputs << 2)
  for (const end = into + (<usize>outputs << 2); into < end; into += 32) {
    let s = f32x4.splat(0)
    let t = s
    let u = s
    let v = s
    for (let at = x; at < stop; at += 8, codes += 32) {
      let one = v128.load32_splat(at)
      s = madd(s, halfBits(codes, mask), one)
      t = madd(t, halfBits(codes + 8, mask), one)
      one = v128.load32_splat(at, 4)
      u = madd(u, halfBits(codes + 16, mask), one)
      v = madd(v, halfBits(codes + 24, mask), one)
    }
    v128.store(into, madd(v128.load(into), f32x4.add(s, u), f32x4.splat(LEFT)))
    v128.store(into, madd(v128.load(into, 16), f32x4.add(t, v), f32x4.splat(LEFT)), 16)
  }
}
