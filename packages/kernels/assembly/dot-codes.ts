import { madd } from './simd'
import { touch } from './touch'

/**
 * into `[rows]` (+)= scale * unit * dot(codes, query) + minimum * rest, a scale and a minimum for each row, or 1 where `scales` is 0. Codes are bytes, `count` of a
 * row, rows `rowBytes` apart; the query is 16-bit integers, then unit and rest. Four rows a turn: up to three numbers past the last are written.
 */
export function dotCodes(
  codes: usize, rows: i32, rowBytes: usize, count: usize, query: usize, scales: usize, minima: usize, into: usize, first: bool,
): void {
  const end = query + (count << 1)
  const unit = v128.load32_splat(end)
  const rest = v128.load32_splat(end, 4)
  for (let row = 0; row < rows; row += 4, into += 16, codes += rowBytes << 2) {
    touch(rowBytes << 2)
    let a = i32x4.splat(0)
    let b = a
    let c = a
    let d = a
    let k = codes
    let l = row + 1 < rows ? k + rowBytes : k
    let m = row + 2 < rows ? l + rowBytes : k
    let n = row + 3 < rows ? m + rowBytes : k
    for (let q = query; q < end; q += 16, k += 8, l += 8, m += 8, n += 8) {
      const x = v128.load(q)
      a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load8x8_u(k), x))
      b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load8x8_u(l), x))
      c = i32x4.add(c, i32x4.dot_i16x8_s(v128.load8x8_u(m), x))
      d = i32x4.add(d, i32x4.dot_i16x8_s(v128.load8x8_u(n), x))
    }
    put(into, sum4i(a, b, c, d), unit, rest, scales, minima, row, first)
  }
}

/** The same of three queries, two rows a turn: one number past the last may be written. */
export function dotCodes3(
  codes: usize, rows: i32, rowBytes: usize, count: usize, qa: usize, qb: usize, qc: usize, scales: usize, minima: usize,
  oa: usize, ob: usize, oc: usize, first: bool,
): void {
  const bytes = count << 1
  const unitAB = v128.shuffle<f32>(v128.load32_splat(qa + bytes), v128.load32_splat(qb + bytes), 0, 1, 4, 5)
  const restAB = v128.shuffle<f32>(v128.load32_splat(qa + bytes, 4), v128.load32_splat(qb + bytes, 4), 0, 1, 4, 5)
  const unitC = v128.load32_splat(qc + bytes)
  const restC = v128.load32_splat(qc + bytes, 4)
  for (let row = 0; row < rows; row += 2, oa += 8, ob += 8, oc += 8, codes += rowBytes << 1) {
    touch(rowBytes << 1)
    let a0 = i32x4.splat(0)
    let a1 = a0
    let b0 = a0
    let b1 = a0
    let c0 = a0
    let c1 = a0
    let l = row + 1 < rows ? codes + rowBytes : codes
    let a = qa
    let b = qb
    let c = qc
    for (let k = codes, end = codes + count; k < end; k += 8, l += 8, a += 16, b += 16, c += 16) {
      const x = v128.load8x8_u(k)
      const y = v128.load8x8_u(l)
      let q = v128.load(a)
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(x, q))
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(y, q))
      q = v128.load(b)
      b0 = i32x4.add(b0, i32x4.dot_i16x8_s(x, q))
      b1 = i32x4.add(b1, i32x4.dot_i16x8_s(y, q))
      q = v128.load(c)
      c0 = i32x4.add(c0, i32x4.dot_i16x8_s(x, q))
      c1 = i32x4.add(c1, i32x4.dot_i16x8_s(y, q))
    }
    put3(oa, ob, oc, sum4i(a0, a1, b0, b1), sum2i(c0, c1), unitAB, restAB, unitC, restC, scales, minima, row, first)
  }
}

/** into (+)= scale * unit * sums + minimum * rest, of four rows from `row` on: the end of a turn. */
@inline export function put(into: usize, sums: v128, unit: v128, rest: v128, scales: usize, minima: usize, row: i32, first: bool): void {
  let product = f32x4.mul(f32x4.convert_i32x4_s(sums), unit)
  let constant = rest
  if (scales) {
    const at = <usize>row << 2
    product = f32x4.mul(product, v128.load(scales + at))
    constant = f32x4.mul(rest, v128.load(minima + at))
  }
  if (!first) constant = f32x4.add(constant, v128.load(into))
  v128.store(into, f32x4.add(product, constant))
}

/** The same of three queries and two rows. All is loaded before any is stored: with two queries, two places are one. */
@inline export function put3(
  oa: usize, ob: usize, oc: usize, sumsAB: v128, sumsC: v128, unitAB: v128, restAB: v128, unitC: v128, restC: v128, scales: usize, minima: usize, row: i32, first: bool,
): void {
  let ab = restAB
  let cc = restC
  if (scales) {
    const at = <usize>row << 2
    const scale = v128.load64_splat(scales + at)
    const minimum = v128.load64_splat(minima + at)
    unitAB = f32x4.mul(unitAB, scale)
    unitC = f32x4.mul(unitC, scale)
    ab = f32x4.mul(ab, minimum)
    cc = f32x4.mul(cc, minimum)
  }
  if (!first) {
    ab = f32x4.add(ab, v128.load64_lane(oa, v128.load64_splat(ob), 0))
    cc = f32x4.add(cc, v128.load64_splat(oc))
  }
  ab = madd(ab, f32x4.convert_i32x4_s(sumsAB), unitAB)
  cc = madd(cc, f32x4.convert_i32x4_s(sumsC), unitC)
  v128.store64_lane(oa, ab, 0)
  v128.store64_lane(ob, ab, 1)
  v128.store64_lane(oc, cc, 0)
}

/** The two sums of the lanes of a and b, whole numbers, in the first two lanes. */
@inline export function sum2i(a: v128, b: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7))
  return i32x4.add(ab, v128.shuffle<i32>(ab, ab, 2, 3, 0, 1))
}

/** The four sums of the lanes of a, b, c and d, whole numbers. */
@inline export function sum4i(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7))
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7))
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7))
}
