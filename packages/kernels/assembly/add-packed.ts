import { addPackedOne } from './add-packed-one'
import { fromHalf, loadHalves } from './half'
import { codeBits, codeGroup } from './page'
import { madd, maxLanes, STRIDE, sumLanes } from './simd'

/** Bytes of one query's rounded weights: 64 rows in 16 bits and a pair to run over, what a unit is worth, the weighted minimum. */
const EACH: usize = 64 * 2 + 32

/**
 * output += weights `[query][STRIDE]` * packed values whose tokens have scales (axis token), without decoding them: the sum of
 * w * (code * scale + minimum) is the sum of (w * scale) * code plus a constant, group by group of channels. The products w * scale are
 * rounded to 16 bits of their largest, so that integers multiply, two rows at a time.
 * A row's bytes and the group are multiples of 16. `scratch`: 512 bytes per group, 256, then EACH per query.
 */
export function addPacked(
  page: usize, capacity: usize, code: i32, start: i32, rows: i32, headDim: usize, weights: usize, count: i32, output: usize, scratch: usize,
): void {
  const bits = codeBits(code)
  const group = codeGroup(code)
  const rowBytes = headDim * bits >> 3
  const perRow = headDim / group
  const scales = scratch
  const minima = scales + (perRow << 8)
  const products = minima + (perRow << 8)
  const rounded = products + 256
  const halves = page + capacity * rowBytes + (<usize>start * perRow << 1)
  spread(halves, rows, perRow, scales)
  spread(halves + (capacity * perRow << 1), rows, perRow, minima)
  const values = page + <usize>start * rowBytes
  const levels: i32 = (1 << <i32>bits) - 1
  const mask = i8x16.splat(<i8>levels)
  for (let g: usize = 0; g < perRow; g++) {
    for (let i = 0; i < count; i++) {
      roundWeights(weights + <usize>i * STRIDE, rows, scales + (g << 8), minima + (g << 8), products, rounded + <usize>i * EACH)
    }
    for (let channel = g * group; channel < (g + 1) * group; channel += 16) {
      const plane = channel / rowBytes
      const from = values + channel - plane * rowBytes
      for (let done = 0; done < count; done += 3) {
        const at = output + (channel << 2)
        if (done + 1 == count) {
          addPackedOne(<i32>(plane * bits), from, rows, rowBytes, mask, rounded + <usize>done * EACH, at + (<usize>done * headDim << 2))
          continue
        }
        const second = <usize>min(done + 1, count - 1)
        const third = <usize>min(done + 2, count - 1)
        addShifted(<i32>(plane * bits), from, rows, rowBytes, mask, rounded + <usize>done * EACH, rounded + second * EACH, rounded + third * EACH,
          at + (<usize>done * headDim << 2), at + (second * headDim << 2), at + (third * headDim << 2))
      }
    }
  }
}

/** Halves `[rows][perRow]` to float32 `[perRow][64]`. */
function spread(halves: usize, rows: i32, perRow: usize, into: usize): void {
  let row = 0
  if (perRow == 2) {
    for (; row + 4 <= rows; row += 4, halves += 16) {
      const x = loadHalves(halves)
      const y = loadHalves(halves + 8)
      const at = into + (<usize>row << 2)
      v128.store(at, v128.shuffle<f32>(x, y, 0, 2, 4, 6))
      v128.store(at, v128.shuffle<f32>(x, y, 1, 3, 5, 7), 256)
    }
  }
  for (; row < rows; row++) {
    for (let g: usize = 0; g < perRow; g++, halves += 2) store<f32>(into + (g << 8) + (<usize>row << 2), fromHalf(load<u16>(halves)))
  }
}

/** weight * scale in 16 bits, what one unit of them is worth, and the sum of weight * minimum. */
function roundWeights(weights: usize, rows: i32, scales: usize, minima: usize, products: usize, into: usize): void {
  let largest = f32x4.splat(0)
  let constants = largest
  let row = 0
  for (; row + 4 <= rows; row += 4) {
    const at = <usize>row << 2
    const w = v128.load(weights + at)
    const product = f32x4.mul(w, v128.load(scales + at))
    v128.store(products + at, product)
    largest = f32x4.pmax(largest, f32x4.abs(product))
    constants = madd(constants, w, v128.load(minima + at))
  }
  let top = maxLanes(largest)
  let constant = sumLanes(constants)
  for (; row < rows; row++) {
    const at = <usize>row << 2
    const w = load<f32>(weights + at)
    const product = w * load<f32>(scales + at)
    store<f32>(products + at, product)
    top = max(top, abs(product))
    constant += w * load<f32>(minima + at)
  }
  for (; row & 7; row++) store<f32>(products + (<usize>row << 2), 0)
  const inverse = f32x4.splat(top == 0 ? 0 : 32767 / top)
  for (let at: usize = 0; at < <usize>row << 2; at += 32) {
    const low = f32x4.nearest(f32x4.mul(v128.load(products + at), inverse))
    const high = f32x4.nearest(f32x4.mul(v128.load(products + at, 16), inverse))
    v128.store(into + (at >> 1), i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(low), i32x4.trunc_sat_f32x4_s(high)))
  }
  store<f32>(into, top / 32767, 128)
  store<f32>(into, constant, 132)
}

/** A shift by a constant costs a third of one by a variable. */
function addShifted(
  shift: i32, values: usize, rows: i32, rowBytes: usize, mask: v128, wa: usize, wb: usize, wc: usize, oa: usize, ob: usize, oc: usize,
): void {
  if (shift == 0) add3(0, values, rows, rowBytes, mask, wa, wb, wc, oa, ob, oc)
  else if (shift == 4) add3(4, values, rows, rowBytes, mask, wa, wb, wc, oa, ob, oc)
  else if (shift == 2) add3(2, values, rows, rowBytes, mask, wa, wb, wc, oa, ob, oc)
  else add3(6, values, rows, rowBytes, mask, wa, wb, wc, oa, ob, oc)
}

/** Sixteen channels of two rows a turn, interleaved, so that one product adds both; three queries. */
@inline function add3(
  shift: i32, values: usize, rows: i32, rowBytes: usize, mask: v128, wa: usize, wb: usize, wc: usize, oa: usize, ob: usize, oc: usize,
): void {
  let a0 = i32x4.splat(0)
  let a1 = a0
  let a2 = a0
  let a3 = a0
  let b0 = a0
  let b1 = a0
  let b2 = a0
  let b3 = a0
  let c0 = a0
  let c1 = a0
  let c2 = a0
  let c3 = a0
  for (let row = 0; row < rows; row += 2) {
    const v = values + <usize>row * rowBytes
    const x = v128.load(v)
    const y = row + 1 < rows ? v128.load(v + rowBytes) : x
    const at = <usize>row << 1
    const p = v128.load32_splat(wa + at)
    const q = v128.load32_splat(wb + at)
    const r = v128.load32_splat(wc + at)
    let pair = v128.and(i16x8.shr_u(v128.shuffle<i8>(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), shift), mask)
    let half = i16x8.extend_low_i8x16_u(pair)
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(half, p))
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(half, q))
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(half, r))
    half = i16x8.extend_high_i8x16_u(pair)
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(half, p))
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(half, q))
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(half, r))
    pair = v128.and(i16x8.shr_u(v128.shuffle<i8>(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), shift), mask)
    half = i16x8.extend_low_i8x16_u(pair)
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(half, p))
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(half, q))
    c2 = i32x4.add(c2, i32x4.dot_i16x8_s(half, r))
    half = i16x8.extend_high_i8x16_u(pair)
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(half, p))
    b3 = i32x4.add(b3, i32x4.dot_i16x8_s(half, q))
    c3 = i32x4.add(c3, i32x4.dot_i16x8_s(half, r))
  }
  // All outputs are read before any is written: a query may stand for a missing one.
  const fa = v128.load32_splat(wa, 128)
  const ma = v128.load32_splat(wa, 132)
  const fb = v128.load32_splat(wb, 128)
  const mb = v128.load32_splat(wb, 132)
  const fc = v128.load32_splat(wc, 128)
  const mc = v128.load32_splat(wc, 132)
  const pa0 = total(oa, a0, fa, ma)
  const pa1 = total(oa + 16, a1, fa, ma)
  const pa2 = total(oa + 32, a2, fa, ma)
  const pa3 = total(oa + 48, a3, fa, ma)
  const pb0 = total(ob, b0, fb, mb)
  const pb1 = total(ob + 16, b1, fb, mb)
  const pb2 = total(ob + 32, b2, fb, mb)
  const pb3 = total(ob + 48, b3, fb, mb)
  const pc0 = total(oc, c0, fc, mc)
  const pc1 = total(oc + 16, c1, fc, mc)
  const pc2 = total(oc + 32, c2, fc, mc)
  const pc3 = total(oc + 48, c3, fc, mc)
  v128.store(oa, pa0)
  v128.store(oa, pa1, 16)
  v128.store(oa, pa2, 32)
  v128.store(oa, pa3, 48)
  v128.store(ob, pb0)
  v128.store(ob, pb1, 16)
  v128.store(ob, pb2, 32)
  v128.store(ob, pb3, 48)
  v128.store(oc, pc0)
  v128.store(oc, pc1, 16)
  v128.store(oc, pc2, 32)
  v128.store(oc, pc3, 48)
}

/** What lies at an output, plus a sum in units of `worth`, plus a constant. */
@inline function total(output: usize, sum: v128, worth: v128, constant: v128): v128 {
  return f32x4.add(v128.load(output), madd(constant, f32x4.convert_i32x4_s(sum), worth))
}
