import { madd, STRIDE, sum4, sumLanes } from './simd'

/** Dot products of one to three queries with raw keys, to `[query][STRIDE]`. Three queries share every load of a key. */
export function dotRaw(keys: usize, rows: i32, headDim: usize, queries: usize, count: i32, into: usize): void {
  const rowBytes = headDim << 2
  let done = 0
  // Two queries run as three, the last one twice: the same numbers go to the same place.
  for (; count - done >= 2; done += 3) {
    const second = <usize>min(done + 1, count - 1)
    const third = <usize>min(done + 2, count - 1)
    dot3(keys, rows, rowBytes, queries + <usize>done * rowBytes, queries + second * rowBytes, queries + third * rowBytes,
      into + <usize>done * STRIDE, into + second * STRIDE, into + third * STRIDE)
  }
  if (done < count) dot1(keys, rows, rowBytes, queries + <usize>done * rowBytes, into + <usize>done * STRIDE)
}

/** Two rows a turn; a lone last row is paired with itself. */
function dot3(keys: usize, rows: i32, rowBytes: usize, qa: usize, qb: usize, qc: usize, oa: usize, ob: usize, oc: usize): void {
  for (let row = 0; row < rows; row += 2, oa += 8, ob += 8, oc += 8) {
    let k = keys + <usize>row * rowBytes
    let l = row + 1 < rows ? k + rowBytes : k
    let a = qa
    let b = qb
    let c = qc
    let a0 = f32x4.splat(0)
    let a1 = a0
    let b0 = a0
    let b1 = a0
    let c0 = a0
    let c1 = a0
    for (const end = k + rowBytes; k < end; k += 16, l += 16, a += 16, b += 16, c += 16) {
      const x = v128.load(k)
      const y = v128.load(l)
      let q = v128.load(a)
      a0 = madd(a0, q, x)
      a1 = madd(a1, q, y)
      q = v128.load(b)
      b0 = madd(b0, q, x)
      b1 = madd(b1, q, y)
      q = v128.load(c)
      c0 = madd(c0, q, x)
      c1 = madd(c1, q, y)
    }
    const ab = sum4(a0, a1, b0, b1)
    v128.store64_lane(oa, ab, 0)
    v128.store64_lane(ob, ab, 1)
    v128.store64_lane(oc, sum4(c0, c1, c0, c1), 0)
  }
}

function dot1(keys: usize, rows: i32, rowBytes: usize, query: usize, into: usize): void {
  for (let row = 0; row < rows; row++, into += 4) {
    let q = query
    let a = f32x4.splat(0)
    let b = a
    for (const end = keys + rowBytes; keys < end; keys += 32, q += 32) {
      a = madd(a, v128.load(q), v128.load(keys))
      b = madd(b, v128.load(q, 16), v128.load(keys, 16))
    }
    store<f32>(into, sumLanes(f32x4.add(a, b)))
  }
}
