import { madd } from './simd'

/** What addPacked does for three queries and sixteen channels, for one query. */
export function addPackedOne(shift: i32, values: usize, rows: i32, rowBytes: usize, mask: v128, weights: usize, output: usize): void {
  if (shift == 0) add1(0, values, rows, rowBytes, mask, weights, output)
  else if (shift == 4) add1(4, values, rows, rowBytes, mask, weights, output)
  else if (shift == 2) add1(2, values, rows, rowBytes, mask, weights, output)
  else add1(6, values, rows, rowBytes, mask, weights, output)
}

@inline function add1(shift: i32, values: usize, rows: i32, rowBytes: usize, mask: v128, weights: usize, output: usize): void {
  let a = i32x4.splat(0)
  let b = a
  let c = a
  let d = a
  for (let row = 0; row < rows; row += 2) {
    const v = values + <usize>row * rowBytes
    const x = v128.load(v)
    const y = row + 1 < rows ? v128.load(v + rowBytes) : x
    const w = v128.load32_splat(weights + (<usize>row << 1))
    const low = v128.and(i16x8.shr_u(v128.shuffle<i8>(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), shift), mask)
    const high = v128.and(i16x8.shr_u(v128.shuffle<i8>(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), shift), mask)
    a = i32x4.add(a, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(low), w))
    b = i32x4.add(b, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(low), w))
    c = i32x4.add(c, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(high), w))
    d = i32x4.add(d, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(high), w))
  }
  const unit = v128.load32_splat(weights, 128)
  const constant = v128.load32_splat(weights, 132)
  v128.store(output, f32x4.add(v128.load(output), madd(constant, f32x4.convert_i32x4_s(a), unit)))
  v128.store(output, f32x4.add(v128.load(output, 16), madd(constant, f32x4.convert_i32x4_s(b), unit)), 16)
  v128.store(output, f32x4.add(v128.load(output, 32), madd(constant, f32x4.convert_i32x4_s(c), unit)), 32)
  v128.store(output, f32x4.add(v128.load(output, 48), madd(constant, f32x4.convert_i32x4_s(d), unit)), 48)
}
