import { loadHalves } from './half'
import { brain } from './linear-brain'

/** Eight outputs' weights as float32 [inputs][8]; `kind` as for linear. With `gain` [inputs] (or 0), inputs are multiplied by it. */
export function decodePanel(kind: i32, codes: usize, scales: usize, minima: usize, gain: usize, inputs: i32, into: usize): void {
  const end = into + (<usize>inputs << 5)
  if (kind == 8) decodeBytes(codes, scales, into, end)
  else if (kind == 4) decodeNibbles(codes, scales, minima, into, end)
  else for (let to = into; to < end; to += 16, codes += 8) v128.store(to, kind == 16 ? loadHalves(codes) : brain(codes))
  if (gain == 0) return
  for (; into < end; into += 32, gain += 4) {
    const factor = v128.load32_splat(gain)
    v128.store(into, f32x4.mul(v128.load(into), factor))
    v128.store(into, f32x4.mul(v128.load(into, 16), factor), 16)
  }
}

function decodeBytes(codes: usize, scales: usize, into: usize, end: usize): void {
  for (; into < end; scales += 16) {
    const s = loadHalves(scales)
    const t = loadHalves(scales + 8)
    for (const stop = into + 1024; into < stop; into += 64, codes += 16) {
      const a = v128.load8x8_s(codes)
      const b = v128.load8x8_s(codes, 8)
      v128.store(into, scaled(i32x4.shr_s(i32x4.shl(a, 16), 16), s))
      v128.store(into, scaled(i32x4.shr_s(i32x4.shl(b, 16), 16), t), 16)
      v128.store(into, scaled(i32x4.shr_s(a, 16), s), 32)
      v128.store(into, scaled(i32x4.shr_s(b, 16), t), 48)
    }
  }
}

function decodeNibbles(codes: usize, scales: usize, minima: usize, into: usize, end: usize): void {
  const low = i32x4.splat(15)
  for (; into < end; into += 512, scales += 16, minima += 16) {
    const s = loadHalves(scales)
    const t = loadHalves(scales + 8)
    const m = loadHalves(minima)
    const n = loadHalves(minima + 8)
    for (const stop = into + 512; into < stop; into += 64, codes += 16) {
      const a = v128.load8x8_u(codes)
      const b = v128.load8x8_u(codes, 8)
      v128.store(into, f32x4.add(scaled(v128.and(a, low), s), m))
      v128.store(into, f32x4.add(scaled(v128.and(b, low), t), n), 16)
      v128.store(into, f32x4.add(scaled(v128.and(i32x4.shr_u(a, 16), low), s), m), 32)
      v128.store(into, f32x4.add(scaled(v128.and(i32x4.shr_u(b, 16), low), t), n), 48)
      v128.store(into, f32x4.add(scaled(v128.and(i32x4.shr_u(a, 4), low), s), m), 512)
      v128.store(into, f32x4.add(scaled(v128.and(i32x4.shr_u(b, 4), low), t), n), 528)
      v128.store(into, f32x4.add(scaled(i32x4.shr_u(a, 20), s), m), 544)
      v128.store(into, f32x4.add(scaled(i32x4.shr_u(b, 20), t), n), 560)
    }
  }
}

@inline function scaled(codes: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(codes), scale)
}
