import { fromHalf, fromHalves } from '../half.ts'
import type { Heap } from '../heap.ts'
import type { Layout } from '../kernels.ts'

/** Rows `start .. start + rows` of a page, as float32: x = code * scale + minimum, times the channel's factor if there is one; raw rows as they are. */
export function dequantize(
  heap: Heap,
  page: number,
  capacity: number,
  layout: Layout,
  start: number,
  rows: number,
  headDim: number,
  out: Float32Array,
): void {
  const { u8, u16 } = heap
  if (layout.kind === 'raw16') {
    const first = (page >>> 1) + start * headDim
    fromHalves(u16.subarray(first, first + rows * headDim), out)
    return
  }
  if (layout.kind === 'raw32') {
    const first = (page >>> 2) + start * headDim
    out.set(heap.f32.subarray(first, first + rows * headDim))
    return
  }
  const rowBytes = (headDim * layout.bits) / 8
  const mask = (1 << layout.bits) - 1
  const perRow = layout.axis === 'token' ? headDim / layout.group : 0
  const scales = (page + capacity * rowBytes) >>> 1
  const minima = scales + (layout.axis === 'token' ? capacity * perRow : headDim)
  const factors = minima + capacity * perRow
  for (let row = start; row < start + rows; row++) {
    for (let channel = 0; channel < headDim; channel++) {
      const plane = Math.floor(channel / rowBytes)
      const code = (u8[page + row * rowBytes + (channel % rowBytes)] >>> (plane * layout.bits)) & mask
      const group = layout.axis === 'token' ? row * perRow + Math.floor(channel / layout.group) : channel
      const x = Math.fround(Math.fround(code * fromHalf(u16[scales + group])) + fromHalf(u16[minima + group]))
      out[(row - start) * headDim + channel] = layout.factors ? x * fromHalf(u16[factors + channel]) : x
    }
  }
}
