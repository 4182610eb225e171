import { madd, STRIDE } from './simd'

/** output += weights `[query][STRIDE]` * raw values, for any number of queries; three share every load of a value. */
export function addRaw(values: usize, rows: i32, headDim: usize, weights: usize, count: i32, output: usize): void {
  const rowBytes = headDim << 2
  let done = 0
  // Two queries run as three, the last one twice: the same numbers go to the same place.
  for (; count - done >= 2; done += 3) {
    const second = <usize>min(done + 1, count - 1)
    const third = <usize>min(done + 2, count - 1)
    add3(values, rows, rowBytes, weights + <usize>done * STRIDE, weights + second * STRIDE, weights + third * STRIDE,
      output + <usize>done * rowBytes, output + second * rowBytes, output + third * rowBytes)
  }
  if (done < count) add1(values, rows, rowBytes, weights + <usize>done * STRIDE, output + <usize>done * rowBytes)
}

/** Sixteen channels, one cache line of every row, at a time. */
function add3(values: usize, rows: i32, rowBytes: usize, wa: usize, wb: usize, wc: usize, oa: usize, ob: usize, oc: usize): void {
  for (const stop = values + rowBytes; values < stop; values += 64, oa += 64, ob += 64, oc += 64) {
    let v = values
    let a = wa
    let b = wb
    let c = wc
    let a0 = v128.load(oa)
    let a1 = v128.load(oa, 16)
    let a2 = v128.load(oa, 32)
    let a3 = v128.load(oa, 48)
    let b0 = v128.load(ob)
    let b1 = v128.load(ob, 16)
    let b2 = v128.load(ob, 32)
    let b3 = v128.load(ob, 48)
    let c0 = v128.load(oc)
    let c1 = v128.load(oc, 16)
    let c2 = v128.load(oc, 32)
    let c3 = v128.load(oc, 48)
    for (const end = a + (<usize>rows << 2); a < end; a += 4, b += 4, c += 4, v += rowBytes) {
      const x = v128.load_splat<f32>(a)
      const y = v128.load_splat<f32>(b)
      const z = v128.load_splat<f32>(c)
      let w = v128.load(v)
      a0 = madd(a0, x, w)
      b0 = madd(b0, y, w)
      c0 = madd(c0, z, w)
      w = v128.load(v, 16)
      a1 = madd(a1, x, w)
      b1 = madd(b1, y, w)
      c1 = madd(c1, z, w)
      w = v128.load(v, 32)
      a2 = madd(a2, x, w)
      b2 = madd(b2, y, w)
      c2 = madd(c2, z, w)
      w = v128.load(v, 48)
      a3 = madd(a3, x, w)
      b3 = madd(b3, y, w)
      c3 = madd(c3, z, w)
    }
    v128.store(oa, a0)
    v128.store(oa, a1, 16)
    v128.store(oa, a2, 32)
    v128.store(oa, a3, 48)
    v128.store(ob, b0)
    v128.store(ob, b1, 16)
    v128.store(ob, b2, 32)
    v128.store(ob, b3, 48)
    v128.store(oc, c0)
    v128.store(oc, c1, 16)
    v128.store(oc, c2, 32)
    v128.store(oc, c3, 48)
  }
}

function add1(values: usize, rows: i32, rowBytes: usize, weights: usize, output: usize): void {
  for (const stop = values + rowBytes; values < stop; values += 64, output += 64) {
    let v = values
    let w = weights
    let a = v128.load(output)
    let b = v128.load(output, 16)
    let c = v128.load(output, 32)
    let d = v128.load(output, 48)
    for (const end = w + (<usize>rows << 2); w < end; w += 4, v += rowBytes) {
      const x = v128.load_splat<f32>(w)
      a = madd(a, x, v128.load(v))
      b = madd(b, x, v128.load(v, 16))
      c = madd(c, x, v128.load(v, 32))
      d = madd(d, x, v128.load(v, 48))
    }
    v128.store(output, a)
    v128.store(output, b, 16)
    v128.store(output, c, 32)
    v128.store(output, d, 48)
  }
}
