import { madd, STRIDE } from './simd'

/**
 * Dot products of four queries with the first `columns` (rounded up to eight) keys of a transposed block `[headDim][64]`, to `[4][STRIDE]`.
 * Eight accumulators. A channel a turn: of two or four, engines load all before they multiply any, and registers run out.
 */
export function tileLogits(keys: usize, q0: usize, q1: usize, q2: usize, q3: usize, headDim: usize, columns: i32, into: usize): void {
  const end = keys + (<usize>columns << 2)
  for (; keys < end; keys += 32, into += 32) {
    let k = keys
    let a = q0
    let b = q1
    let c = q2
    let d = q3
    let a0 = f32x4.splat(0)
    let a1 = a0
    let b0 = a0
    let b1 = a0
    let c0 = a0
    let c1 = a0
    let d0 = a0
    let d1 = a0
    for (const stop = q0 + (headDim << 2); a < stop; a += 4, b += 4, c += 4, d += 4, k += 256) {
      const x = v128.load(k)
      const y = v128.load(k, 16)
      let q = v128.load_splat<f32>(a)
      a0 = madd(a0, q, x)
      a1 = madd(a1, q, y)
      q = v128.load_splat<f32>(b)
      b0 = madd(b0, q, x)
      b1 = madd(b1, q, y)
      q = v128.load_splat<f32>(c)
      c0 = madd(c0, q, x)
      c1 = madd(c1, q, y)
      q = v128.load_splat<f32>(d)
      d0 = madd(d0, q, x)
      d1 = madd(d1, q, y)
    }
    v128.store(into, a0)
    v128.store(into, a1, 16)
    v128.store(into, b0, STRIDE)
    v128.store(into, b1, STRIDE + 16)
    v128.store(into, c0, 2 * STRIDE)
    v128.store(into, c1, 2 * STRIDE + 16)
    v128.store(into, d0, 3 * STRIDE)
    v128.store(into, d1, 3 * STRIDE + 16)
  }
}
