import { madd } from './simd'

/** One row times weights that are upper halves of float32. */
export function linearBrain(x: usize, inputs: i32, codes: usize, outputs: i32, into: usize): void {
  const stop = x + (<usize>inputs << 2)
  for (const end = into + (<usize>outputs << 2); into < end; into += 32) {
    let s = v128.load(into)
    let t = v128.load(into, 16)
    let u = f32x4.splat(0)
    let v = u
    for (let at = x; at < stop; at += 8, codes += 32) {
      let one = v128.load32_splat(at)
      s = madd(s, brain(codes), one)
      t = madd(t, brain(codes + 8), one)
      one = v128.load32_splat(at, 4)
      u = madd(u, brain(codes + 16), one)
      v = madd(v, brain(codes + 24), one)
    }
    v128.store(into, f32x4.add(s, u))
    v128.store(into, f32x4.add(t, v), 16)
  }
}

/** Four upper halves of float32, from their address. */
@inline export function brain(address: usize): v128 {
  return i32x4.shl(v128.load16x4_u(address), 16)
}
