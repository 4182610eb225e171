import type { Kernels } from '@kvfold/kernels'
import type { Head } from './head.ts'
import type { PagePool } from './page.ts'
import type { Rotary } from './rotary.ts'

/**
 * Turns the keys of a head from the positions that they have to their places 0, 1, 2, ... in it. All rows must be unpacked, in memory.
 * The turns of one row add up: after thousands of them its rounding is still below 1e-5.
 */
export function makeContiguous(head: Head, headDim: number, kernels: Kernels, pool: PagePool, rotary: Rotary): void {
  const positions = head.columns.get('position')
  head.arrivals.keys.rewrite(
    (first, rows, address) => {
      const by = Array.from({ length: rows }, (_, i) => first + i - positions[first + i])
      const bytes = rows * headDim * 4
      const tables = pool.malloc(bytes)
      rotary.writeTurns(by, tables)
      kernels.rope(address, address, rows, headDim, tables, tables + bytes / 2)
      pool.free(tables, bytes)
    },
    (first, rows) => positions.subarray(first, first + rows).some((position, i) => position !== first + i),
  )
  for (let i = 0; i < positions.length; i++) positions[i] = i
}
