import { madd, MAGIC, magic, sumLanes } from './simd'

// Minimax for 2^r - 1 on [-1/2, 1/2], relative.
const P1: f32 = 0.6931470037
const P2: f32 = 0.2402224243
const P3: f32 = 0.0555073358
const P4: f32 = 0.0096715130
const P5: f32 = 0.0013264727
const LOG2E: f32 = 1.4426950408889634
/** Where e^x becomes 0. */
const LEAST: f32 = -86

/**
 * e^x for x <= 0 (and a little above) as 2^t, t = x log2 e = n + r: a polynomial in r, and n added to the exponent's bits. Relative error
 * below 2e-7, and 6e-8 |x| from the rounding of t. Below -86, -Infinity included, it is 0; NaN stays NaN.
 */
@inline export function exp4(x: v128): v128 {
  return power(
    x, f32x4.splat(LOG2E), f32x4.splat(MAGIC), f32x4.splat(1), f32x4.splat(P1), f32x4.splat(P2), f32x4.splat(P3), f32x4.splat(P4), f32x4.splat(P5), f32x4.splat(LEAST),
  )
}

@inline export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0)
}

// The same for a loop: see magic.
export let log2e: v128 = f32x4.splat(LOG2E)
export let one: v128 = f32x4.splat(1)
export let p1: v128 = f32x4.splat(P1)
export let p2: v128 = f32x4.splat(P2)
export let p3: v128 = f32x4.splat(P3)
export let p4: v128 = f32x4.splat(P4)
export let p5: v128 = f32x4.splat(P5)
export let least: v128 = f32x4.splat(LEAST)

/** e^(x - base) of `columns` numbers, a multiple of four, in place. Returns their sum. */
export function exponentials(row: usize, columns: i32, base: f32): f32 {
  const a = log2e
  const b = magic
  const c = one
  const d = p1
  const e = p2
  const f = p3
  const g = p4
  const h = p5
  const i = least
  const bases = f32x4.splat(base)
  let total = f32x4.splat(0)
  for (const end = row + (<usize>columns << 2); row < end; row += 16) {
    const y = power(f32x4.sub(v128.load(row), bases), a, b, c, d, e, f, g, h, i)
    v128.store(row, y)
    total = f32x4.add(total, y)
  }
  return sumLanes(total)
}

@inline function power(
  x: v128, log2e: v128, magic: v128, one: v128, p1: v128, p2: v128, p3: v128, p4: v128, p5: v128, least: v128,
): v128 {
  const t = f32x4.mul(x, log2e)
  const shifted = f32x4.add(t, magic)
  const r = f32x4.sub(t, f32x4.sub(shifted, magic))
  let p = madd(p4, r, p5)
  p = madd(p3, p, r)
  p = madd(p2, p, r)
  p = madd(p1, p, r)
  p = madd(one, p, r)
  return v128.andnot(i32x4.add(p, i32x4.shl(shifted, 23)), f32x4.lt(x, least))
}
