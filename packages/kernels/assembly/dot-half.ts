import { halfMask, upperHalves } from './half'
import { LEFT, RAISE } from './round-blocks'
import { madd, STRIDE, sum4, sumLanes } from './simd'

/**
 * Dot products of queries with keys in float16, to `[query][STRIDE]`. A word holds two halves: the odd channels are the upper ones, and so are
 * the even ones of words that begin two bytes before. `scratch`: three queries.
 */
export function dotHalf(keys: usize, rows: i32, headDim: usize, queries: usize, count: i32, into: usize, scratch: usize): void {
  const queryBytes = headDim << 2
  for (let i = 0; i < count; i += 3) {
    const a = queries + <usize>i * queryBytes
    const oa = into + <usize>i * STRIDE
    if (i + 1 == count) {
      raise(a, headDim, scratch, 16)
      dot1(keys, rows, headDim << 1, scratch, oa)
    } else {
      // Two queries run as three, the last one twice: the same numbers go to the same place.
      const third = <usize>min(2, count - 1 - i)
      raise(a, headDim, scratch, 48)
      raise(a + queryBytes, headDim, scratch + 16, 48)
      raise(a + third * queryBytes, headDim, scratch + 32, 48)
      dot3(keys, rows, headDim << 1, scratch, oa, oa + STRIDE, oa + third * STRIDE)
    }
  }
}

/** A query times RAISE, four channels every `step` bytes: the even ones, then the odd ones. */
function raise(query: usize, headDim: usize, into: usize, step: usize): void {
  const factor = f32x4.splat(RAISE)
  const odd = (headDim >> 3) * step
  for (const end = query + (headDim << 2); query < end; query += 32, into += step) {
    const x = f32x4.mul(v128.load(query), factor)
    const y = f32x4.mul(v128.load(query, 16), factor)
    v128.store(into, v128.shuffle<f32>(x, y, 0, 2, 4, 6))
    v128.store(into + odd, v128.shuffle<f32>(x, y, 1, 3, 5, 7))
  }
}

/** Two rows a turn; a lone last row is paired with itself. */
function dot3(keys: usize, rows: i32, rowBytes: usize, queries: usize, oa: usize, ob: usize, oc: usize): void {
  const mask = halfMask
  for (let row = 0; row < rows; row += 2, oa += 8, ob += 8, oc += 8, keys += rowBytes << 1) {
    const next = row + 1 < rows ? rowBytes : 0
    let q = queries
    let a0 = f32x4.splat(0)
    let a1 = a0
    let b0 = a0
    let b1 = a0
    let c0 = a0
    let c1 = a0
    for (let first = keys - 2; first <= keys; first += 2) {
      for (let k = first, end = first + rowBytes; k < end; k += 16, q += 48) {
        const x = upperHalves(k, mask)
        const y = upperHalves(k + next, mask)
        const a = v128.load(q)
        a0 = madd(a0, a, x)
        a1 = madd(a1, a, y)
        const b = v128.load(q, 16)
        b0 = madd(b0, b, x)
        b1 = madd(b1, b, y)
        const c = v128.load(q, 32)
        c0 = madd(c0, c, x)
        c1 = madd(c1, c, y)
      }
    }
    const left = f32x4.splat(LEFT)
    const ab = f32x4.mul(sum4(a0, a1, b0, b1), left)
    v128.store64_lane(oa, ab, 0)
    v128.store64_lane(ob, ab, 1)
    v128.store64_lane(oc, f32x4.mul(sum4(c0, c1, c0, c1), left), 0)
  }
}

function dot1(keys: usize, rows: i32, rowBytes: usize, query: usize, into: usize): void {
  const mask = halfMask
  for (let row = 0; row < rows; row++, into += 4) {
    let q = query
    let a = f32x4.splat(0)
    let b = a
    let c = a
    let d = a
    for (const end = keys + rowBytes; keys < end; keys += 32, q += 32) {
      a = madd(a, v128.load(q), upperHalves(keys - 2, mask))
      b = madd(b, v128.load(q, 16), upperHalves(keys + 14, mask))
      c = madd(c, v128.load(q + rowBytes), upperHalves(keys, mask))
      d = madd(d, v128.load(q + rowBytes, 16), upperHalves(keys + 16, mask))
    }
    store<f32>(into, sumLanes(f32x4.add(f32x4.add(a, b), f32x4.add(c, d))) * LEFT)
  }
}
