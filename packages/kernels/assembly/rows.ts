import { dequantize } from './dequantize'
import { ENTRY, entryAddress, entryCapacity, entryCode, entryRows } from './page'

/** Where a walk through a page table stands. There are two: keys and values may end their pages at different rows. */
let keyEntry: usize = 0
let keyRow: i32 = 0
let valueEntry: usize = 0
let valueRow: i32 = 0

/** Starts both walks at row `start`. */
export function startRows(keyTable: usize, valueTable: usize, start: i32): void {
  keyEntry = keyTable
  keyRow = start
  valueEntry = valueTable
  valueRow = start
}

/** The next `count` keys as float32 `[count][headDim]`: where they lie, or decoded to `scratch`. */
export function nextKeys(count: i32, headDim: usize, scratch: usize): usize {
  while (keyRow >= entryRows(keyEntry)) {
    keyRow -= entryRows(keyEntry)
    keyEntry += ENTRY
  }
  const from = keyRow
  keyRow += count
  return rowsFrom(keyEntry, from, count, headDim, scratch)
}

/** The same for values. */
export function nextValues(count: i32, headDim: usize, scratch: usize): usize {
  while (valueRow >= entryRows(valueEntry)) {
    valueRow -= entryRows(valueEntry)
    valueEntry += ENTRY
  }
  const from = valueRow
  valueRow += count
  return rowsFrom(valueEntry, from, count, headDim, scratch)
}

function rowsFrom(entry: usize, row: i32, count: i32, headDim: usize, scratch: usize): usize {
  if (entryCode(entry) == 0 && entryRows(entry) - row >= count) return entryAddress(entry) + (<usize>row * headDim << 2)
  let into = scratch
  for (; count > 0; entry += ENTRY, row = 0) {
    const take = min(entryRows(entry) - row, count)
    dequantize(entryAddress(entry), entryCapacity(entry), entryCode(entry), row, take, headDim, into)
    into += <usize>take * headDim << 2
    count -= take
  }
  return scratch
}
