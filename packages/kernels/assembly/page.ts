/** A page table entry is four int32: address, rows, layout code, capacity. */
export const ENTRY: usize = 16

@inline export function entryAddress(entry: usize): usize {
  return <usize>load<u32>(entry)
}

@inline export function entryRows(entry: usize): i32 {
  return load<i32>(entry, 4)
}

@inline export function entryCode(entry: usize): i32 {
  return load<i32>(entry, 8)
}

@inline export function entryCapacity(entry: usize): usize {
  return <usize>load<u32>(entry, 12)
}

/** The layout code of raw16; 0 is raw32. */
export const HALVES: i32 = 16

/** Other layout codes: bits | axis << 8 (0 token, 1 channel) | factors << 9 | group << 16. */
@inline export function codeBits(code: i32): usize {
  return <usize>(code & 255)
}

@inline export function codeByChannel(code: i32): bool {
  return (code >> 8 & 1) != 0
}

@inline export function codeGroup(code: i32): usize {
  return <usize>(code >>> 16)
}

/** True if a page ends with a factor for each channel. */
@inline export function codeFactors(code: i32): bool {
  return (code >> 9 & 1) != 0
}

/** Where a page's factors begin, halves. */
@inline export function factorsOf(page: usize, capacity: usize, code: i32, headDim: usize): usize {
  return page + capacity * ((headDim * codeBits(code) >> 3) + (headDim / codeGroup(code) << 2))
}
