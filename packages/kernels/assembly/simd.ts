/** Small vector helpers that every kernel uses. Inlined everywhere. */

/** Rows of a block: everything works on at most so many rows at a time. */
export const BLOCK: i32 = 64
/** Bytes between the logits of two queries: a block, and room for stores that run a little over. */
export const STRIDE: usize = 272

/** The four sums of the lanes of a, b, c and d. */
@inline export function sum4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7))
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7))
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7))
}

@inline export function sumLanes(a: v128): f32 {
  const b = f32x4.add(a, v128.shuffle<f32>(a, a, 2, 3, 0, 1))
  return f32x4.extract_lane(b, 0) + f32x4.extract_lane(b, 1)
}

@inline export function maxLanes(a: v128): f32 {
  const b = f32x4.pmax(a, v128.shuffle<f32>(a, a, 2, 3, 0, 1))
  const c = f32x4.pmax(b, v128.shuffle<f32>(b, b, 1, 0, 3, 2))
  return f32x4.extract_lane(c, 0)
}

/** sum + a * b */
@inline export function madd(sum: v128, a: v128, b: v128): v128 {
  return f32x4.add(sum, f32x4.mul(a, b))
}

/** Adding it rounds a float (below 2^22 in size) to an integer, which then sits in the low bits. */
export const MAGIC: f32 = 12582912

/**
 * e^x for x <= 0 (and a little above), relative error below 2e-7. Below -86, -Infinity included, it is 0; NaN stays NaN.
 * Cephes' expf: x = n ln 2 + r, a polynomial in r, and n added to the exponent's bits.
 */
@inline export function exp4(x: v128): v128 {
  const shifted = madd(f32x4.splat(MAGIC), x, f32x4.splat(1.4426950408889634))
  const n = f32x4.sub(shifted, f32x4.splat(MAGIC))
  const r = f32x4.sub(f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375))), f32x4.mul(n, f32x4.splat(-2.12194440e-4)))
  let p = madd(f32x4.splat(1.3981999507e-3), r, f32x4.splat(1.9875691500e-4))
  p = madd(f32x4.splat(8.3334519073e-3), p, r)
  p = madd(f32x4.splat(4.1665795894e-2), p, r)
  p = madd(f32x4.splat(1.6666665459e-1), p, r)
  p = madd(f32x4.splat(5.0000001201e-1), p, r)
  p = f32x4.add(madd(r, p, f32x4.mul(r, r)), f32x4.splat(1))
  return v128.andnot(i32x4.add(p, i32x4.shl(shifted, 23)), f32x4.lt(x, f32x4.splat(-86)))
}

@inline export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0)
}
