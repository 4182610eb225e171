import { madd } from './simd'

/** Adds to `into` [width][width] the outer product of each of `count` vectors with itself. Four vectors a pass; `width` is a multiple of 4. */
export function gram(from: usize, count: i32, width: usize, into: usize): void {
  const bytes = width << 2
  for (let left = count; left > 0; left -= 4, from += bytes << 2) {
    // Fewer than four left: the missing ones weigh nothing.
    const second = left > 1 ? from + bytes : from
    const third = left > 2 ? from + 2 * bytes : from
    const fourth = left > 3 ? from + 3 * bytes : from
    let row = into
    for (let i: usize = 0; i < bytes; i += 4, row += bytes) {
      const a = v128.load32_splat(from + i)
      const b = left > 1 ? v128.load32_splat(second + i) : f32x4.splat(0)
      const c = left > 2 ? v128.load32_splat(third + i) : f32x4.splat(0)
      const d = left > 3 ? v128.load32_splat(fourth + i) : f32x4.splat(0)
      // The matrix is symmetric: from the diagonal on, the caller mirrors the rest.
      for (let j = i & ~15; j < bytes; j += 16) {
        let sum = madd(v128.load(row + j), a, v128.load(from + j))
        sum = madd(sum, b, v128.load(second + j))
        sum = madd(sum, c, v128.load(third + j))
        v128.store(row + j, madd(sum, d, v128.load(fourth + j)))
      }
    }
  }
}
