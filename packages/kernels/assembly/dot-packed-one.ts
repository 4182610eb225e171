import { sumLanes } from './simd'

/** What dotPacked does for three queries, for one: two rows a turn; a lone last row is paired with itself. */
export function dotPackedOne(keys: usize, rows: i32, rowBytes: usize, bits: usize, headDim: usize, query: usize, into: usize): void {
  const levels: i32 = (1 << <i32>bits) - 1
  const mask = i8x16.splat(<i8>levels)
  const planes = 8 / <i32>bits
  const unit = load<f32>(query + (headDim << 1))
  const rest = load<f32>(query + (headDim << 1), 4)
  for (let row = 0; row < rows; row += 2, into += 8) {
    const k = keys + <usize>row * rowBytes
    const l = row + 1 < rows ? k + rowBytes : k
    let a0 = i32x4.splat(0)
    let a1 = a0
    let b0 = a0
    let b1 = a0
    for (let j: usize = 0; j < rowBytes; j += 16) {
      let codes = v128.load(k + j)
      let others = v128.load(l + j)
      let q = query + (j << 1)
      for (let plane = 0; ; q += rowBytes << 1) {
        const x = v128.and(codes, mask)
        const y = v128.and(others, mask)
        const low = v128.load(q)
        const high = v128.load(q, 16)
        a0 = i32x4.add(a0, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(x), low))
        a1 = i32x4.add(a1, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(y), low))
        b0 = i32x4.add(b0, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(x), high))
        b1 = i32x4.add(b1, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(y), high))
        if (++plane == planes) break
        if (planes == 2) {
          codes = i16x8.shr_u(codes, 4)
          others = i16x8.shr_u(others, 4)
        } else {
          codes = i16x8.shr_u(codes, 2)
          others = i16x8.shr_u(others, 2)
        }
      }
    }
    store<f32>(into, sumLanes(f32x4.convert_i32x4_s(i32x4.add(a0, b0))) * unit + rest)
    store<f32>(into, sumLanes(f32x4.convert_i32x4_s(i32x4.add(a1, b1))) * unit + rest, 4)
  }
}
