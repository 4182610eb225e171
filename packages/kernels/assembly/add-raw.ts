import { madd, STRIDE } from './simd'

/** output += weights `[query][STRIDE]` * raw values, for any number of queries; three share every load of a value. */
export function addRaw(values: usize, rows: i32, headDim: usize, weights: usize, count: i32, output: usize): void {
  const rowBytes = headDim << 2
  let done = 0
  // Two queries run as three, the last one twice: the same numbers go to the same place.
  for (; count - done >= 2; done += 3) {
    const second = <usize>min(done + 1, count - 1)
    const third = <usize>min(done + 2, count - 1)
    const a = weights + <usize>done * STRIDE
    const b = weights + second * STRIDE
    const c = weights + third * STRIDE
    const oa = output + <usize>done * rowBytes
    const ob = output + second * rowBytes
    const oc = output + third * rowBytes
    add3(values, rows & ~1, rowBytes, a, b, c, oa, ob, oc)
    if (rows & 1) {
      const last = <usize>(rows - 1)
      const row = values + last * rowBytes
      add1(row, 1, rowBytes, a + (last << 2), oa)
      add1(row, 1, rowBytes, b + (last << 2), ob)
      if (third != second) add1(row, 1, rowBytes, c + (last << 2), oc)
    }
  }
  if (done < count) add1(values, rows, rowBytes, weights + <usize>done * STRIDE, output + <usize>done * rowBytes)
}

/**
 * Two rows a turn, from their first channel to their last: memory is read in order, which the processor foresees, and that is worth more
 * than outputs that stay in registers.
 */
function add3(values: usize, rows: i32, rowBytes: usize, wa: usize, wb: usize, wc: usize, oa: usize, ob: usize, oc: usize): void {
  for (const end = wa + (<usize>rows << 2); wa < end; wa += 8, wb += 8, wc += 8) {
    const a0 = v128.load32_splat(wa)
    const a1 = v128.load32_splat(wa, 4)
    const b0 = v128.load32_splat(wb)
    const b1 = v128.load32_splat(wb, 4)
    const c0 = v128.load32_splat(wc)
    const c1 = v128.load32_splat(wc, 4)
    let next = values + rowBytes
    let a = oa
    let b = ob
    let c = oc
    for (const stop = next; values < stop; values += 16, next += 16, a += 16, b += 16, c += 16) {
      const x = v128.load(values)
      const y = v128.load(next)
      const u = v128.load(a)
      const v = v128.load(b)
      const w = v128.load(c)
      v128.store(a, madd(madd(u, a0, x), a1, y))
      v128.store(b, madd(madd(v, b0, x), b1, y))
      v128.store(c, madd(madd(w, c0, x), c1, y))
    }
    values = next
  }
}

function add1(values: usize, rows: i32, rowBytes: usize, weights: usize, output: usize): void {
  const pairs = weights + (<usize>(rows & ~1) << 2)
  for (; weights < pairs; weights += 8, values += rowBytes) {
    const p = v128.load32_splat(weights)
    const q = v128.load32_splat(weights, 4)
    for (let to = output, stop = output + rowBytes; to < stop; to += 16, values += 16) {
      v128.store(to, madd(madd(v128.load(to), p, v128.load(values)), q, v128.load(values + rowBytes)))
    }
  }
  if (rows & 1) {
    const p = v128.load32_splat(weights)
    for (let to = output, stop = output + rowBytes; to < stop; to += 16, values += 16) v128.store(to, madd(v128.load(to), p, v128.load(values)))
  }
}
