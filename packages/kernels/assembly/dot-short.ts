import { put, put3, sum2i, sum4i } from './dot-codes'
import { multiplyBytes } from './simd'

/** What dotCodes does, for codes of fewer than 8 bits and a query as roundShort leaves it. */
export function dotShort(
  codes: usize, rows: i32, rowBytes: usize, count: usize, query: usize, scales: usize, minima: usize, into: usize, first: bool,
): void {
  const end = query + count
  const start = v128.load(end)
  const unit = v128.load32_splat(end, 16)
  const rest = v128.load32_splat(end, 20)
  for (let row = 0; row < rows; row += 4, into += 16, codes += rowBytes << 2) {
    let a = start
    let b = a
    let c = a
    let d = a
    let k = codes
    let l = row + 1 < rows ? k + rowBytes : k
    let m = row + 2 < rows ? l + rowBytes : k
    let n = row + 3 < rows ? m + rowBytes : k
    for (let q = query; q < end; q += 16, k += 16, l += 16, m += 16, n += 16) {
      const x = v128.load(q)
      a = multiplyBytes(x, v128.load(k), a)
      b = multiplyBytes(x, v128.load(l), b)
      c = multiplyBytes(x, v128.load(m), c)
      d = multiplyBytes(x, v128.load(n), d)
    }
    put(into, sum4i(a, b, c, d), unit, rest, scales, minima, row, first)
  }
}

/** The same of three queries, two rows a turn: one number past the last may be written. */
export function dotShort3(
  codes: usize, rows: i32, rowBytes: usize, count: usize, qa: usize, qb: usize, qc: usize, scales: usize, minima: usize,
  oa: usize, ob: usize, oc: usize, first: bool,
): void {
  const unitAB = v128.shuffle<f32>(v128.load32_splat(qa + count, 16), v128.load32_splat(qb + count, 16), 0, 1, 4, 5)
  const restAB = v128.shuffle<f32>(v128.load32_splat(qa + count, 20), v128.load32_splat(qb + count, 20), 0, 1, 4, 5)
  const unitC = v128.load32_splat(qc + count, 16)
  const restC = v128.load32_splat(qc + count, 20)
  for (let row = 0; row < rows; row += 2, oa += 8, ob += 8, oc += 8, codes += rowBytes << 1) {
    let a0 = v128.load(qa + count)
    let a1 = a0
    let b0 = v128.load(qb + count)
    let b1 = b0
    let c0 = v128.load(qc + count)
    let c1 = c0
    let l = row + 1 < rows ? codes + rowBytes : codes
    let a = qa
    let b = qb
    let c = qc
    for (let k = codes, end = codes + count; k < end; k += 16, l += 16, a += 16, b += 16, c += 16) {
      const x = v128.load(k)
      const y = v128.load(l)
      let q = v128.load(a)
      a0 = multiplyBytes(q, x, a0)
      a1 = multiplyBytes(q, y, a1)
      q = v128.load(b)
      b0 = multiplyBytes(q, x, b0)
      b1 = multiplyBytes(q, y, b1)
      q = v128.load(c)
      c0 = multiplyBytes(q, x, c0)
      c1 = multiplyBytes(q, y, c1)
    }
    put3(oa, ob, oc, sum4i(a0, a1, b0, b1), sum2i(c0, c1), unitAB, restAB, unitC, restC, scales, minima, row, first)
  }
}
