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

/** Eight channels at a time: what three queries need of more does not fit the registers. */
function add3(values: usize, rows: i32, rowBytes: usize, wa: usize, wb: usize, wc: usize, oa: usize, ob: usize, oc: usize): void {
  for (const stop = values + rowBytes; values < stop; values += 32, oa += 32, ob += 32, oc += 32) {
    let v = values
    let a = wa
    let b = wb
    let c = wc
    let a0 = v128.load(oa)
    let a1 = v128.load(oa, 16)
    let b0 = v128.load(ob)
    let b1 = v128.load(ob, 16)
    let c0 = v128.load(oc)
    let c1 = v128.load(oc, 16)
    for (const end = a + (<usize>rows << 2); a < end; a += 4, b += 4, c += 4, v += rowBytes) {
      const x = v128.load(v)
      const y = v128.load(v, 16)
      let w = v128.load32_splat(a)
      a0 = madd(a0, w, x)
      a1 = madd(a1, w, y)
      w = v128.load32_splat(b)
      b0 = madd(b0, w, x)
      b1 = madd(b1, w, y)
      w = v128.load32_splat(c)
      c0 = madd(c0, w, x)
      c1 = madd(c1, w, y)
    }
    v128.store(oa, a0)
    v128.store(oa, a1, 16)
    v128.store(ob, b0)
    v128.store(ob, b1, 16)
    v128.store(oc, c0)
    v128.store(oc, c1, 16)
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
