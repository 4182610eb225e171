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

/** sum + four products of bytes in each lane: signed ones, and codes below 128. */
@inline export function multiplyBytes(bytes: v128, codes: v128, sum: v128): v128 {
  return v128.relaxed_dot_add<i32>(bytes, codes, sum)
}

/** Adding it rounds a float (below 2^22 in size) to an integer, which then sits in the low bits. */
export const MAGIC: f32 = 12582912

/** Four numbers below 2^22 in size, rounded to integers. */
@inline export function round4(x: v128): v128 {
  return i32x4.sub(f32x4.add(x, f32x4.splat(MAGIC)), f32x4.splat(MAGIC))
}

/**
 * e^x for x <= 0 (and a little above) as 2^t, t = x log2 e = n + r: a polynomial in r, and n added to the exponent's bits. Relative error
 * below 2e-7, and 6e-8 |x| from the rounding of t. Below -86, -Infinity included, it is 0; NaN stays NaN.
 */
@inline export function exp4(x: v128): v128 {
  const t = f32x4.mul(x, f32x4.splat(1.4426950408889634))
  const shifted = f32x4.add(t, f32x4.splat(MAGIC))
  const r = f32x4.sub(t, f32x4.sub(shifted, f32x4.splat(MAGIC)))
  // Minimax for 2^r - 1 on [-1/2, 1/2], relative.
  let p = madd(f32x4.splat(0.0096715130), r, f32x4.splat(0.0013264727))
  p = madd(f32x4.splat(0.0555073358), p, r)
  p = madd(f32x4.splat(0.2402224243), p, r)
  p = madd(f32x4.splat(0.6931470037), p, r)
  p = madd(f32x4.splat(1), p, r)
  return v128.andnot(i32x4.add(p, i32x4.shl(shifted, 23)), f32x4.lt(x, f32x4.splat(-86)))
}

@inline export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0)
}
