import { ENTRY, entryAddress, entryCapacity, entryRows } from './page'

/** Copies `width` bytes of each listed row (ascending) from one page list to the next free row of another. */
export function gather(fromTable: usize, intoTable: usize, indices: usize, count: i32, base: usize, width: usize): void {
  let firstRow = 0
  let intoRow = 0
  for (let i = 0; i < count; i++) {
    const row = load<i32>(indices + (<usize>i << 2))
    while (row >= firstRow + entryRows(fromTable)) {
      firstRow += entryRows(fromTable)
      fromTable += ENTRY
    }
    while (intoRow >= entryRows(intoTable)) {
      intoRow = 0
      intoTable += ENTRY
    }
    copy(
      entryAddress(intoTable) + base * entryCapacity(intoTable) + <usize>intoRow * width,
      entryAddress(fromTable) + base * entryCapacity(fromTable) + <usize>(row - firstRow) * width, width,
    )
    intoRow++
  }
}

/** A call to memory.copy costs more than most rows do. */
@inline function copy(to: usize, from: usize, bytes: usize): void {
  for (; bytes >= 16; bytes -= 16, to += 16, from += 16) v128.store(to, v128.load(from))
  for (; bytes >= 2; bytes -= 2, to += 2, from += 2) store<u16>(to, load<u16>(from))
  if (bytes) store<u8>(to, load<u8>(from))
}
