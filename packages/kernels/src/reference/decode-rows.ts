import type { Heap } from '../heap.ts'
import { type Layout, layoutOf, PAGE_ENTRY } from '../kernels.ts'
import { dequantize } from './dequantize.ts'

/** All rows of a page table, in order, as float32 `[rows][headDim]`. */
export function decodeRows(heap: Heap, table: number, pages: number, rows: number, headDim: number): Float32Array {
  const out = new Float32Array(rows * headDim)
  const entries = heap.i32.subarray(table >>> 2, (table >>> 2) + pages * PAGE_ENTRY)
  let row = 0
  for (let page = 0; page < pages && row < rows; page++) {
    const [address, held, code, capacity] = entries.subarray(page * PAGE_ENTRY)
    const count = Math.min(held, rows - row)
    const layout: Layout = layoutOf(code)
    dequantize(heap, address >>> 0, capacity, layout, 0, count, headDim, out.subarray(row * headDim))
    row += count
  }
  return out
}
