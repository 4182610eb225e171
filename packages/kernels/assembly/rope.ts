/** Rotates channel i with channel i + headDim/2. headDim is a multiple of eight. */
export function rope(from: usize, into: usize, count: usize, headDim: usize, cos: usize, sin: usize): void {
  const half = headDim << 1
  for (let row: usize = 0; row < count; row++, from += half, into += half) {
    for (const end = from + half; from < end; from += 16, into += 16, cos += 16, sin += 16) {
      const a = v128.load(from)
      const b = v128.load(from + half)
      const c = v128.load(cos)
      const s = v128.load(sin)
      v128.store(into, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)))
      v128.store(into + half, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)))
    }
  }
}
