import { addTo } from './add-codes'
import { multiplyBytes } from './simd'

/** output [16] += unit * (weights times rows) + rest. Rows are quadruples of bytes, `fourBytes` from one to the next; weights are as roundShort leaves them. */
export function addShort(codes: usize, whole: usize, fourBytes: usize, weights: usize, output: usize): void {
  const end = weights + whole
  let a = v128.load32_splat(end)
  let b = a
  let c = a
  let d = a
  for (let w = weights; w < end; w += 4, codes += fourBytes) {
    const x = v128.load32_splat(w)
    a = multiplyBytes(x, v128.load(codes), a)
    b = multiplyBytes(x, v128.load(codes, 16), b)
    c = multiplyBytes(x, v128.load(codes, 32), c)
    d = multiplyBytes(x, v128.load(codes, 48), d)
  }
  const unit = v128.load32_splat(end, 16)
  const rest = v128.load32_splat(end, 20)
  addTo(output, a, unit, rest)
  addTo(output + 16, b, unit, rest)
  addTo(output + 32, c, unit, rest)
  addTo(output + 48, d, unit, rest)
}

/** The same of three queries, whose weights lie `each` apart, and eight channels. */
export function addShort3(codes: usize, whole: usize, fourBytes: usize, weights: usize, each: usize, oa: usize, ob: usize, oc: usize): void {
  const second = weights + each
  const third = second + each
  let a0 = v128.load32_splat(weights + whole)
  let a1 = a0
  let b0 = v128.load32_splat(second + whole)
  let b1 = b0
  let c0 = v128.load32_splat(third + whole)
  let c1 = c0
  for (let at: usize = 0; at < whole; at += 4, codes += fourBytes) {
    const x = v128.load(codes)
    const y = v128.load(codes, 16)
    let w = v128.load32_splat(weights + at)
    a0 = multiplyBytes(w, x, a0)
    a1 = multiplyBytes(w, y, a1)
    w = v128.load32_splat(second + at)
    b0 = multiplyBytes(w, x, b0)
    b1 = multiplyBytes(w, y, b1)
    w = v128.load32_splat(third + at)
    c0 = multiplyBytes(w, x, c0)
    c1 = multiplyBytes(w, y, c1)
  }
  add8(oa, a0, a1, weights + whole)
  add8(ob, b0, b1, second + whole)
  add8(oc, c0, c1, third + whole)
}

@inline function add8(output: usize, a: v128, b: v128, tail: usize): void {
  const unit = v128.load32_splat(tail, 16)
  const rest = v128.load32_splat(tail, 20)
  addTo(output, a, unit, rest)
  addTo(output + 16, b, unit, rest)
}
