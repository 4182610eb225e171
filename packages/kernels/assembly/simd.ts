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

/** sum + a * b, in the relaxed build rounded once where the machine can. */
@inline export function madd(sum: v128, a: v128, b: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, sum) : f32x4.add(sum, f32x4.mul(a, b))
}

/** Who instantiates the relaxed build says whether one instruction multiplies bytes. */
@external('env', 'multipliesBytes')
declare const multipliesBytes: i32

/** True if the relaxed build multiplies codes of so many bits by numbers of 8 bits, not of 16. */
@inline export function isShort(bits: usize): bool {
  return multipliesBytes != 0 && bits != 8
}

/** sum + four products of bytes in each lane: signed ones, and codes below 128. */
@inline export function multiplyBytes(bytes: v128, codes: v128, sum: v128): v128 {
  return v128.relaxed_dot_add<i32>(bytes, codes, sum)
}

/** Adding it rounds a float (below 2^22 in size) to an integer, which then sits in the low bits. */
export const MAGIC: f32 = 12582912

/** MAGIC for loops. V8 makes a constant anew at each use, in three or four instructions; it cannot know that nobody sets this one. */
export let magic: v128 = f32x4.splat(MAGIC)

/** Eight numbers below 2^15 in size, rounded to 16 bits. */
@inline export function round8(x: v128, y: v128, shift: v128): v128 {
  return i16x8.narrow_i32x4_s(i32x4.sub(f32x4.add(x, shift), shift), i32x4.sub(f32x4.add(y, shift), shift))
}

/** Eight products of 16 bits, each a 2^-15th of it. */
@inline export function multiplyHigh(a: v128, b: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? i16x8.relaxed_q15mulr_s(a, b) : i16x8.q15mulr_sat_s(a, b)
}

/** Four numbers below 2^22 in size, rounded to integers. */
@inline export function round4(x: v128): v128 {
  return i32x4.sub(f32x4.add(x, f32x4.splat(MAGIC)), f32x4.splat(MAGIC))
}
