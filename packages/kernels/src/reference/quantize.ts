import { fromHalves, toHalfSaturated } from '../half.ts'
import type { Heap } from '../heap.ts'
import type { Layout } from '../kernels.ts'
import { channelFactors } from './channel-factors.ts'

/**
 * Float32 rows to a page. raw16: float16, saturated. Affine, per group (of x / factor, with factors sqrt(max |x|) of a channel, or 1): minimum and step = (max - min) / (2^bits - 1) in float32; code = (x - min) / step, clamped,
 * rounded half to even; where max = min, codes and the stored step are 0. Step and minimum are stored as float16, saturated to the largest finite half, so
 * |decoded - x| <= step / 2 + (2^bits - 1) * |step - half(step)| + |min - half(min)|.
 */
export function quantize(heap: Heap, from: number, rows: number, headDim: number, layout: Layout, page: number, capacity: number): void {
  const { f32, u8, u16 } = heap
  let x = f32.subarray(from >>> 2, (from >>> 2) + rows * headDim)
  if (layout.kind === 'raw32') return f32.set(x, page >>> 2)
  if (layout.kind === 'raw16') return u16.set(x.map(toHalfSaturated), page >>> 1)
  const rowBytes = (headDim * layout.bits) / 8
  const levels = (1 << layout.bits) - 1
  u8.fill(0, page, page + rows * rowBytes)
  const perRow = headDim / layout.group
  const scales = (page + capacity * rowBytes) >>> 1
  const minima = scales + (layout.axis === 'token' ? capacity * perRow : headDim)
  if (layout.factors) {
    const factors = channelFactors(x, headDim)
    u16.set(factors, minima + capacity * perRow)
    const divisors = fromHalves(factors)
    x = x.map((value, i) => value / divisors[i % headDim])
  }

  // The numbers of one group: `count` of them, `step` apart, from `first` on.
  const groupOf = (first: number, count: number, stride: number, at: number): void => {
    let low = Infinity
    let high = -Infinity
    for (let i = 0; i < count; i++) {
      low = Math.min(low, x[first + i * stride])
      high = Math.max(high, x[first + i * stride])
    }
    const scale = high === low ? 1 : Math.fround(Math.fround(high - low) / levels)
    for (let i = 0; i < count; i++) {
      const index = first + i * stride
      const channel = index % headDim
      const quotient = Math.fround(Math.fround(x[index] - low) / scale)
      const code = roundHalfEven(Math.min(levels, Math.max(0, quotient)))
      u8[page + Math.floor(index / headDim) * rowBytes + (channel % rowBytes)] |= code << (Math.floor(channel / rowBytes) * layout.bits)
    }
    u16[scales + at] = high === low ? 0 : toHalfSaturated(scale)
    u16[minima + at] = toHalfSaturated(low)
  }

  if (layout.axis === 'channel') {
    for (let channel = 0; channel < headDim; channel++) groupOf(channel, rows, headDim, channel)
  } else {
    for (let group = 0; group < rows * perRow; group++) groupOf(group * layout.group, layout.group, 1, group)
  }
}

/** Rounds a number >= 0 to the nearest integer, halves to the even one. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor
}
