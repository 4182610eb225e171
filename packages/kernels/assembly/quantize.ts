import { channelFactors, divideRow } from './channel-factors'
import { storeHalves, toHalfSaturated } from './half'
import { codeBits, codeByChannel, codeFactors, codeGroup, factorsOf, HALVES } from './page'

/**
 * Float32 rows to a page; see the reference for the definition. `scratch`: one row of codes (bytes), then minimum, step, factor and
 * quotient (float32) of each channel.
 */
export function quantize(from: usize, rows: i32, headDim: usize, code: i32, page: usize, capacity: usize, scratch: usize): void {
  if (code == 0) {
    memory.copy(page, from, <usize>rows * headDim << 2)
    return
  }
  if (code == HALVES) {
    for (const end = from + (<usize>rows * headDim << 2); from < end; from += 16, page += 8) storeHalves(page, v128.load(from))
    return
  }
  const bits = codeBits(code)
  const rowBytes = headDim * bits >> 3
  const levels = <f32>((1 << <i32>bits) - 1)
  const minima = scratch + (headDim + 15 & ~15)
  const steps = minima + (headDim << 2)
  const factors = steps + (headDim << 2)
  const quotients = factors + (headDim << 2)
  let halves = page + capacity * rowBytes
  const byChannel = codeByChannel(code)
  const group = codeGroup(code)
  const perRow: usize = byChannel ? 0 : headDim / group
  if (byChannel) {
    channelRanges(from, rows, headDim, minima, steps)
    for (let c: usize = 0; c < headDim; c++, halves += 2) store2(halves, headDim << 1, minima + (c << 2), steps + (c << 2), levels)
  }
  if (codeFactors(code)) channelFactors(from, rows, headDim, factorsOf(page, capacity, code, headDim), factors)
  for (let row: i32 = 0; row < rows; row++) {
    let x = from + (<usize>row * headDim << 2)
    if (codeFactors(code)) {
      divideRow(x, factors, headDim, quotients)
      x = quotients
    }
    for (let g: usize = 0; g < perRow; g++, halves += 2) {
      const at = g * group << 2
      groupRange(x + at, group, minima + at, steps + at)
      store2(halves, capacity * perRow << 1, minima + at, steps + at, levels)
      const minimum = load<f32>(minima + at)
      const step = load<f32>(steps + at)
      for (let c: usize = 4; c < group << 2; c += 4) {
        store<f32>(minima + at + c, minimum)
        store<f32>(steps + at + c, step)
      }
    }
    codes(x, headDim, minima, steps, levels, scratch)
    pack(scratch, rowBytes, bits, page + <usize>row * rowBytes)
  }
}

/**
 * Turns the range at `step` into a step, and stores it and the minimum as halves, `apart` bytes from each other. Where all numbers are the same, 0: what
 * meets such codes, which are 0 too, is then not the largest of anything.
 */
@inline function store2(halves: usize, apart: usize, minimum: usize, step: usize, levels: f32): void {
  const range = load<f32>(step)
  const scale: f32 = range == 0 ? 1 : range / levels
  store<f32>(step, scale)
  store<u16>(halves, <u16>toHalfSaturated(range == 0 ? 0 : scale))
  store<u16>(halves + apart, <u16>toHalfSaturated(load<f32>(minimum)))
}

/** Per channel: the minimum, and maximum - minimum. */
function channelRanges(from: usize, rows: i32, headDim: usize, minima: usize, ranges: usize): void {
  for (let c: usize = 0; c < headDim << 2; c += 16) {
    let low = f32x4.splat(Infinity)
    let high = f32x4.splat(-Infinity)
    for (let row: usize = 0; row < <usize>rows; row++) {
      const x = v128.load(from + (row * headDim << 2) + c)
      low = f32x4.pmin(low, x)
      high = f32x4.pmax(high, x)
    }
    v128.store(minima + c, low)
    v128.store(ranges + c, f32x4.sub(high, low))
  }
}

/** The minimum and the range of consecutive numbers. */
@inline function groupRange(from: usize, count: usize, minimum: usize, range: usize): void {
  let low: f32 = Infinity
  let high: f32 = -Infinity
  const end = from + (count << 2)
  if ((count & 3) == 0) {
    let lows = f32x4.splat(Infinity)
    let highs = f32x4.splat(-Infinity)
    for (; from < end; from += 16) {
      lows = f32x4.pmin(lows, v128.load(from))
      highs = f32x4.pmax(highs, v128.load(from))
    }
    low = min(min(f32x4.extract_lane(lows, 0), f32x4.extract_lane(lows, 1)), min(f32x4.extract_lane(lows, 2), f32x4.extract_lane(lows, 3)))
    high = max(max(f32x4.extract_lane(highs, 0), f32x4.extract_lane(highs, 1)), max(f32x4.extract_lane(highs, 2), f32x4.extract_lane(highs, 3)))
  } else {
    for (; from < end; from += 4) {
      low = min(low, load<f32>(from))
      high = max(high, load<f32>(from))
    }
  }
  store<f32>(minimum, low)
  store<f32>(range, high - low)
}

/** One row's codes, a byte each: (x - minimum) / step, clamped, rounded half to even. */
@inline function codes(x: usize, headDim: usize, minima: usize, steps: usize, levels: f32, into: usize): void {
  for (let c: usize = 0; c < headDim; c += 4) {
    const at = c << 2
    const quotient = f32x4.div(f32x4.sub(v128.load(x + at), v128.load(minima + at)), v128.load(steps + at))
    const level = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.pmin(f32x4.pmax(quotient, f32x4.splat(0)), f32x4.splat(levels))))
    const words = i16x8.narrow_i32x4_u(level, level)
    store<u32>(into + c, <u32>i32x4.extract_lane(i8x16.narrow_i16x8_u(words, words), 0))
  }
}

/** Codes to planes: bits p*bits .. of byte j hold channel p*rowBytes + j. Four bytes a turn; no code reaches into its neighbour's byte. */
@inline function pack(codes: usize, rowBytes: usize, bits: usize, into: usize): void {
  for (let j: usize = 0; j < rowBytes; j += 4) {
    let word = load<u32>(codes + j)
    for (let shift = bits, from = codes + rowBytes + j; shift < 8; shift += bits, from += rowBytes) word |= load<u32>(from) << <u32>shift
    store<u32>(into + j, word)
  }
}
