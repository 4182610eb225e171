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
  if (entryCode(keyEntry) == 0 && entryRows(keyEntry) - keyRow >= count) {
    const address = entryAddress(keyEntry) + (<usize>keyRow * headDim << 2)
    keyRow += count
    return address
  }
  let into = scratch
  while (count > 0) {
    const take = min(entryRows(keyEntry) - keyRow, count)
    dequantize(entryAddress(keyEntry), entryCapacity(keyEntry), entryCode(keyEntry), keyRow, take, headDim, into)
    into += <usize>take * headDim << 2
    count -= take
    keyRow += take
    if (count > 0) {
      keyEntry += ENTRY
      keyRow = 0
    }
  }
  return scratch
}

/** The same for values. Where the count is no multiple of four, rows of zeros follow up to the next one. */
export function nextValues(count: i32, headDim: usize, scratch: usize): usize {
  while (valueRow >= entryRows(valueEntry)) {
    valueRow -= entryRows(valueEntry)
    valueEntry += ENTRY
  }
  if (entryCode(valueEntry) == 0 && (count & 3) == 0 && entryRows(valueEntry) - valueRow >= count) {
    const address = entryAddress(valueEntry) + (<usize>valueRow * headDim << 2)
    valueRow += count
    return address
  }
  let into = scratch
  memory.fill(scratch + (<usize>(count & ~3) * headDim << 2), 0, headDim << 4)
  while (count > 0) {
    const take = min(entryRows(valueEntry) - valueRow, count)
    dequantize(entryAddress(valueEntry), entryCapacity(valueEntry), entryCode(valueEntry), valueRow, take, headDim, into)
    into += <usize>take * headDim << 2
    count -= take
    valueRow += take
    if (count > 0) {
      valueEntry += ENTRY
      valueRow = 0
    }
  }
  return scratch
}
