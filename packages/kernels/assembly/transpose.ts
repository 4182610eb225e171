/** Rows `[count][headDim]` to columns `[headDim][64]`; the columns from `count` on are zeros. */
export function transpose(from: usize, count: i32, headDim: usize, into: usize): void {
  const rowBytes = headDim << 2
  const zero = f32x4.splat(0)
  for (let row = 0; row < 64; row += 4) {
    const left = count - row
    let a = from + <usize>row * rowBytes
    let b = a + rowBytes
    let c = b + rowBytes
    let d = c + rowBytes
    let to = into + (<usize>row << 2)
    for (let channel: usize = 0; channel < headDim; channel += 4, a += 16, b += 16, c += 16, d += 16, to += 1024) {
      const va = left > 0 ? v128.load(a) : zero
      const vb = left > 1 ? v128.load(b) : zero
      const vc = left > 2 ? v128.load(c) : zero
      const vd = left > 3 ? v128.load(d) : zero
      transpose4(va, vb, vc, vd, to)
    }
  }
}

/** Four rows of four to four columns, 256 bytes apart. */
@inline export function transpose4(a: v128, b: v128, c: v128, d: v128, to: usize): void {
  const ab01 = v128.shuffle<f32>(a, b, 0, 4, 1, 5)
  const ab23 = v128.shuffle<f32>(a, b, 2, 6, 3, 7)
  const cd01 = v128.shuffle<f32>(c, d, 0, 4, 1, 5)
  const cd23 = v128.shuffle<f32>(c, d, 2, 6, 3, 7)
  v128.store(to, v128.shuffle<f32>(ab01, cd01, 0, 1, 4, 5))
  v128.store(to, v128.shuffle<f32>(ab01, cd01, 2, 3, 6, 7), 256)
  v128.store(to, v128.shuffle<f32>(ab23, cd23, 0, 1, 4, 5), 512)
  v128.store(to, v128.shuffle<f32>(ab23, cd23, 2, 3, 6, 7), 768)
}
