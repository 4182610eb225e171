import { multiplyPanel } from './matmul'
import { madd, maxLanes, sum4, sumLanes } from './simd'

/** Rows that are multiplied as integers; for more, panels of weights are decoded. */
const FEW: i32 = 4
/** Rows of x that stay in the second cache while all panels pass: decoding a panel then costs little beside its products. */
const ROWS: i32 = 256

/**
 * into [rows][outputs] += x [rows][inputs] w, with weights in `bits` = 8 or 4 bits, in blocks of 32 inputs of one output: x = code * scale + minimum. Codes: [outputs][inputs] signed
 * bytes, or [outputs][inputs / 32][16] bytes of which the lower halves are a block's first 16 codes (0 to 15). Scales [outputs][inputs / 32] float32;
 * minima likewise, for 4 bits. With `gain` [inputs] (or 0), x is multiplied by it first. Few rows are rounded to 16 bits a block and multiplied as integers.
 * `scratch`: max(FEW * (2 * inputs + 8 * inputs / 32), 32 * inputs) bytes.
 */
export function linearPacked(
  x: usize,
  rows: i32,
  inputs: i32,
  bits: i32,
  codes: usize,
  scales: usize,
  minima: usize,
  outputs: i32,
  into: usize,
  gain: usize,
  scratch: usize,
): void {
  const blocks = inputs >> 5
  const rowBytes = (<usize>inputs) << 2
  if (rows <= FEW) {
    for (let row = 0; row < rows; row++, x += rowBytes, into += (<usize>outputs) << 2) {
      const xScales = scratch + ((<usize>inputs) << 1),
        xSums = xScales + ((<usize>blocks) << 2)
      roundBlocks(x, gain, blocks, scratch, xScales, xSums)
      if (bits === 8) vector8(scratch, xScales, blocks, codes, scales, outputs, into)
      else vector4(scratch, xScales, xSums, blocks, codes, scales, minima, outputs, into)
    }
    return
  }
  const codeBytes = <usize>((inputs * bits) >> 3)
  for (let first = 0; first < rows; first += ROWS) {
    const count = min(ROWS, rows - first)
    const from = x + <usize>first * rowBytes,
      to = into + <usize>first * ((<usize>outputs) << 2)
    for (let p: i32 = 0; p < outputs; p += 8) {
      for (let j: i32 = 0; j < 8; j++) {
        const output = <usize>(p + j)
        const at = output * <usize>blocks
        decodeColumn(bits, codes + output * codeBytes, scales + (at << 2), minima + (at << 2), gain, blocks, scratch + ((<usize>j) << 2))
      }
      multiplyPanel(from, count, inputs, scratch, 32, to + (<usize>p << 2), (<usize>outputs) << 2)
    }
  }
}

/** One output's weights as float32, 32 bytes apart. */
function decodeColumn(bits: i32, codes: usize, scales: usize, minima: usize, gain: usize, blocks: i32, into: usize): void {
  const first = into
  for (let b = 0; b < blocks; b++, scales += 4, minima += 4) {
    const scale = load<f32>(scales)
    if (bits === 8) {
      for (let i = 0; i < 32; i++, into += 32) store<f32>(into, <f32>load<i8>(codes + i) * scale)
      codes += 32
    } else {
      const minimum = load<f32>(minima)
      for (let i = 0; i < 16; i++, into += 32) {
        const code = load<u8>(codes + i)
        store<f32>(into, <f32>(code & 15) * scale + minimum)
        store<f32>(into + 512, <f32>(code >> 4) * scale + minimum)
      }
      into += 512
      codes += 16
    }
  }
  if (gain) for (let i = 0; i < blocks << 5; i++) store<f32>(first + ((<usize>i) << 5), load<f32>(first + ((<usize>i) << 5)) * load<f32>(gain + ((<usize>i) << 2)))
}

/** x as 16-bit integers with a scale for each 32, and the sums of what they stand for. */
function roundBlocks(x: usize, gain: usize, blocks: i32, into: usize, scales: usize, sums: usize): void {
  for (let b = 0; b < blocks; b++, x += 128, into += 64, scales += 4, sums += 4) {
    let most = f32x4.splat(0)
    for (let i: usize = 0; i < 128; i += 16) most = f32x4.max(most, f32x4.abs(gained(x + i, gain ? gain + ((<usize>b) << 7) + i : 0)))
    const largest = maxLanes(most)
    const inverse: f32 = largest > 0 ? 32767 / largest : 0
    const factor = f32x4.splat(inverse)
    let total = i32x4.splat(0)
    for (let i: usize = 0; i < 64; i += 16) {
      const at = gain ? gain + ((<usize>b) << 7) + (i << 1) : 0
      const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(gained(x + (i << 1), at), factor)))
      const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(gained(x + (i << 1) + 16, at ? at + 16 : 0), factor)))
      total = i32x4.add(total, i32x4.add(low, high))
      v128.store(into + i, i16x8.narrow_i32x4_s(low, high))
    }
    const scale = largest / 32767
    store<f32>(scales, scale)
    store<f32>(sums, sumLanes(f32x4.convert_i32x4_s(total)) * scale)
  }
}

@inline function gained(x: usize, gain: usize): v128 {
  return gain ? f32x4.mul(v128.load(x), v128.load(gain)) : v128.load(x)
}

/** Products of 32 signed bytes at `w` with the 16-bit integers at `x`, in four sums. */
@inline function dot32(w: usize, x0: v128, x1: v128, x2: v128, x3: v128): v128 {
  const a = v128.load(w),
    b = v128.load(w, 16)
  return i32x4.add(
    i32x4.add(i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(a), x0), i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(a), x1)),
    i32x4.add(i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(b), x2), i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(b), x3)),
  )
}

function vector8(x: usize, xScales: usize, blocks: i32, codes: usize, scales: usize, outputs: i32, into: usize): void {
  const codeBytes = (<usize>blocks) << 5,
    scaleBytes = (<usize>blocks) << 2
  for (let output = 0; output < outputs; output += 4, codes += codeBytes << 2, scales += scaleBytes << 2, into += 16) {
    let s0 = f32x4.splat(0),
      s1 = s0,
      s2 = s0,
      s3 = s0
    let c0 = codes,
      c1 = c0 + codeBytes,
      c2 = c1 + codeBytes,
      c3 = c2 + codeBytes
    for (let b: usize = 0, at = x; b < scaleBytes; b += 4, at += 64, c0 += 32, c1 += 32, c2 += 32, c3 += 32) {
      const x0 = v128.load(at),
        x1 = v128.load(at, 16),
        x2 = v128.load(at, 32),
        x3 = v128.load(at, 48)
      const own = v128.load32_splat(xScales + b)
      const w = scales + b
      s0 = madd(s0, f32x4.mul(own, v128.load32_splat(w)), f32x4.convert_i32x4_s(dot32(c0, x0, x1, x2, x3)))
      s1 = madd(s1, f32x4.mul(own, v128.load32_splat(w + scaleBytes)), f32x4.convert_i32x4_s(dot32(c1, x0, x1, x2, x3)))
      s2 = madd(s2, f32x4.mul(own, v128.load32_splat(w + 2 * scaleBytes)), f32x4.convert_i32x4_s(dot32(c2, x0, x1, x2, x3)))
      s3 = madd(s3, f32x4.mul(own, v128.load32_splat(w + 3 * scaleBytes)), f32x4.convert_i32x4_s(dot32(c3, x0, x1, x2, x3)))
    }
    const sums = sum4(s0, s1, s2, s3)
    v128.store(into, f32x4.add(v128.load(into), sums))
  }
}

/** The same of 32 codes of 4 bits in 16 bytes. */
@inline function dotHalves(w: usize, x0: v128, x1: v128, x2: v128, x3: v128): v128 {
  const both = v128.load(w)
  const a = v128.and(both, i8x16.splat(15)),
    b = i8x16.shr_u(both, 4)
  return i32x4.add(
    i32x4.add(i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(a), x0), i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(a), x1)),
    i32x4.add(i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(b), x2), i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(b), x3)),
  )
}

function vector4(
  x: usize,
  xScales: usize,
  xSums: usize,
  blocks: i32,
  codes: usize,
  scales: usize,
  minima: usize,
  outputs: i32,
  into: usize,
): void {
  const codeBytes = (<usize>blocks) << 4,
    scaleBytes = (<usize>blocks) << 2
  for (let output = 0; output < outputs; output += 4, codes += codeBytes << 2, scales += scaleBytes << 2, minima += scaleBytes << 2, into += 16) {
    let s0 = f32x4.splat(0),
      s1 = s0,
      s2 = s0,
      s3 = s0,
      c0 = codes,
      c1 = c0 + codeBytes,
      c2 = c1 + codeBytes,
      c3 = c2 + codeBytes
    for (let b: usize = 0, at = x; b < scaleBytes; b += 4, at += 64, c0 += 16, c1 += 16, c2 += 16, c3 += 16) {
      const x0 = v128.load(at),
        x1 = v128.load(at, 16),
        x2 = v128.load(at, 32),
        x3 = v128.load(at, 48)
      const own = v128.load32_splat(xScales + b)
      const w = scales + b
      s0 = madd(s0, f32x4.mul(own, v128.load32_splat(w)), f32x4.convert_i32x4_s(dotHalves(c0, x0, x1, x2, x3)))
      s1 = madd(s1, f32x4.mul(own, v128.load32_splat(w + scaleBytes)), f32x4.convert_i32x4_s(dotHalves(c1, x0, x1, x2, x3)))
      s2 = madd(s2, f32x4.mul(own, v128.load32_splat(w + 2 * scaleBytes)), f32x4.convert_i32x4_s(dotHalves(c2, x0, x1, x2, x3)))
      s3 = madd(s3, f32x4.mul(own, v128.load32_splat(w + 3 * scaleBytes)), f32x4.convert_i32x4_s(dotHalves(c3, x0, x1, x2, x3)))
    }
    const sums = f32x4.add(sum4(s0, s1, s2, s3), minimaTimes(minima, scaleBytes, xSums))
    v128.store(into, f32x4.add(v128.load(into), sums))
  }
}

/** The minima of four outputs times the sums of x's blocks. */
@inline function minimaTimes(minima: usize, scaleBytes: usize, sums: usize): v128 {
  let m0 = f32x4.splat(0),
    m1 = m0,
    m2 = m0,
    m3 = m0
  let b: usize = 0
  for (; b + 16 <= scaleBytes; b += 16) {
    const s = v128.load(sums + b)
    m0 = madd(m0, s, v128.load(minima + b))
    m1 = madd(m1, s, v128.load(minima + scaleBytes + b))
    m2 = madd(m2, s, v128.load(minima + 2 * scaleBytes + b))
    m3 = madd(m3, s, v128.load(minima + 3 * scaleBytes + b))
  }
  let totals = sum4(m0, m1, m2, m3)
  for (; b < scaleBytes; b += 4) {
    const four = f32x4(load<f32>(minima + b), load<f32>(minima + scaleBytes + b), load<f32>(minima + 2 * scaleBytes + b), load<f32>(minima + 3 * scaleBytes + b))
    totals = madd(totals, v128.load32_splat(sums + b), four)
  }
  return totals
}
