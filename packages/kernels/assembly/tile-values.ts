import { madd, STRIDE } from './simd'

/**
 * output = output * factor + weights `[4][STRIDE]` * values `[rows][headDim]`, for four queries.
 * Eight accumulators (four queries, eight channels); a row a turn, as in tileLogits.
 */
export function tileValues(
  values: usize, rows: i32, headDim: usize, weights: usize, factors: usize, o0: usize, o1: usize, o2: usize, o3: usize,
): void {
  const rowBytes = headDim << 2
  for (const end = values + rowBytes; values < end; values += 32, o0 += 32, o1 += 32, o2 += 32, o3 += 32) {
    let v = values
    let w = weights
    let f = v128.load_splat<f32>(factors)
    let a0 = f32x4.mul(f, v128.load(o0))
    let a1 = f32x4.mul(f, v128.load(o0, 16))
    f = v128.load_splat<f32>(factors, 4)
    let b0 = f32x4.mul(f, v128.load(o1))
    let b1 = f32x4.mul(f, v128.load(o1, 16))
    f = v128.load_splat<f32>(factors, 8)
    let c0 = f32x4.mul(f, v128.load(o2))
    let c1 = f32x4.mul(f, v128.load(o2, 16))
    f = v128.load_splat<f32>(factors, 12)
    let d0 = f32x4.mul(f, v128.load(o3))
    let d1 = f32x4.mul(f, v128.load(o3, 16))
    for (const stop = weights + (<usize>rows << 2); w < stop; w += 4) {
      const x = v128.load(v)
      const y = v128.load(v, 16)
      f = v128.load_splat<f32>(w)
      a0 = madd(a0, f, x)
      a1 = madd(a1, f, y)
      f = v128.load_splat<f32>(w, STRIDE)
      b0 = madd(b0, f, x)
      b1 = madd(b1, f, y)
      f = v128.load_splat<f32>(w, 2 * STRIDE)
      c0 = madd(c0, f, x)
      c1 = madd(c1, f, y)
      f = v128.load_splat<f32>(w, 3 * STRIDE)
      d0 = madd(d0, f, x)
      d1 = madd(d1, f, y)
      v += rowBytes
    }
    v128.store(o0, a0)
    v128.store(o0, a1, 16)
    v128.store(o1, b0)
    v128.store(o1, b1, 16)
    v128.store(o2, c0)
    v128.store(o2, c1, 16)
    v128.store(o3, d0)
    v128.store(o3, d1, 16)
  }
}
