import { halfMask, LACK, upperHalves } from './half'
import { madd, STRIDE } from './simd'

/**
 * output += weights `[query][STRIDE]` * values in float16. `scratch`: 16 bytes a row and 16, then three outputs. A word holds two halves: the odd
 * channels are the upper ones, and so are the even ones of words that begin two bytes before. Sums are kept apart likewise.
 */
export function addHalf(values: usize, rows: i32, headDim: usize, weights: usize, count: i32, output: usize, scratch: usize): void {
  const outputBytes = headDim << 2
  const sums = scratch + (<usize>(rows + 1) << 4)
  for (let i = 0; i < count; i += 3) {
    const held = min(3, count - i)
    const second = <usize>min(1, held - 1)
    const third = <usize>min(2, held - 1)
    const w = weights + <usize>i * STRIDE
    raise(w, w + second * STRIDE, w + third * STRIDE, rows, scratch)
    memory.fill(sums, 0, outputBytes * 3)
    if (held == 1) add1(values, rows, headDim << 1, scratch, sums)
    else add3(values, rows, headDim << 1, scratch, sums)
    for (let j: usize = 0; j < <usize>held; j++) merge(sums + j * outputBytes, outputBytes, output + (<usize>i + j) * outputBytes)
  }
}

/** The weights of three queries times LACK (they are 1 at most, so they can take it), row by row: `[rows][4]`; zeros after the last. */
function raise(a: usize, b: usize, c: usize, rows: i32, into: usize): void {
  for (const end = a + (<usize>rows << 2); a < end; a += 4, b += 4, c += 4, into += 16) {
    store<f32>(into, load<f32>(a) * LACK)
    store<f32>(into, load<f32>(b) * LACK, 4)
    store<f32>(into, load<f32>(c) * LACK, 8)
  }
  v128.store(into, f32x4.splat(0))
}

/** Two rows a turn, from their first channel to their last, as memory likes it; a lone last row is paired with itself, weight 0. */
function add3(values: usize, rows: i32, rowBytes: usize, weights: usize, sums: usize): void {
  const mask = halfMask
  for (let row = 0; row < rows; row += 2, weights += 32, values += rowBytes << 1) {
    const next = row + 1 < rows ? rowBytes : 0
    const a0 = v128.load32_splat(weights)
    const a1 = v128.load32_splat(weights, 16)
    const b0 = v128.load32_splat(weights, 4)
    const b1 = v128.load32_splat(weights, 20)
    const c0 = v128.load32_splat(weights, 8)
    const c1 = v128.load32_splat(weights, 24)
    let a = sums
    let b = a + (rowBytes << 1)
    let c = b + (rowBytes << 1)
    for (let first = values - 2; first <= values; first += 2) {
      for (let v = first, end = v + rowBytes; v < end; v += 16, a += 16, b += 16, c += 16) {
        const x = upperHalves(v, mask)
        const y = upperHalves(v + next, mask)
        v128.store(a, madd(madd(v128.load(a), a0, x), a1, y))
        v128.store(b, madd(madd(v128.load(b), b0, x), b1, y))
        v128.store(c, madd(madd(v128.load(c), c0, x), c1, y))
      }
    }
  }
}

function add1(values: usize, rows: i32, rowBytes: usize, weights: usize, sums: usize): void {
  const mask = halfMask
  for (let row = 0; row < rows; row += 2, weights += 32, values += rowBytes << 1) {
    const next = row + 1 < rows ? rowBytes : 0
    const p = v128.load32_splat(weights)
    const q = v128.load32_splat(weights, 16)
    let to = sums
    for (let first = values - 2; first <= values; first += 2) {
      for (let v = first, end = v + rowBytes; v < end; v += 16, to += 16) {
        v128.store(to, madd(madd(v128.load(to), p, upperHalves(v, mask)), q, upperHalves(v + next, mask)))
      }
    }
  }
}

/** output += sums, the even channels of which come first. */
function merge(sums: usize, bytes: usize, output: usize): void {
  for (const end = output + bytes, odd = bytes >> 1; output < end; output += 32, sums += 16) {
    const x = v128.load(sums)
    const y = v128.load(sums + odd)
    v128.store(output, f32x4.add(v128.load(output), v128.shuffle<f32>(x, y, 0, 4, 1, 5)))
    v128.store(output, f32x4.add(v128.load(output, 16), v128.shuffle<f32>(x, y, 2, 6, 3, 7)), 16)
  }
}
