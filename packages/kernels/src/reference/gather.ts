import type { Heap } from '../heap.ts'
import { PAGE_ENTRY } from '../kernels.ts'

/** Copies `width` bytes of each listed row from one page list to the next free row of another. */
export function gather(
  heap: Heap,
  fromTable: number,
  fromPages: number,
  intoTable: number,
  intoPages: number,
  indices: number,
  count: number,
  base: number,
  width: number,
): void {
  const { i32, u8 } = heap
  const source = cursor(i32, fromTable, fromPages, base, width)
  const target = cursor(i32, intoTable, intoPages, base, width)
  for (let i = 0; i < count; i++) {
    const from = source(i32[(indices >>> 2) + i])
    u8.copyWithin(target(i), from, from + width)
  }
}

/** A function from ascending row numbers to the address of the row's part. */
function cursor(i32: Int32Array, table: number, pages: number, base: number, width: number): (row: number) => number {
  let page = 0
  let first = 0
  return (row) => {
    while (page < pages && row >= first + i32[(table >>> 2) + page * PAGE_ENTRY + 1]) first += i32[(table >>> 2) + page++ * PAGE_ENTRY + 1]
    const entry = (table >>> 2) + page * PAGE_ENTRY
    return (i32[entry] >>> 0) + base * i32[entry + 3] + (row - first) * width
  }
}
