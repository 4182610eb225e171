import { codeBits, codeByChannel, codeGroup, ENTRY, entryAddress, entryCapacity, entryCode, entryRows, HALVES } from './page'

/** What is left of a page, and the pages after it. */
let line: usize = 0
let pageEnd: usize = 0
let page: usize = 0
let pagesEnd: usize = 0
let channels: usize = 0
/** What was read. It means nothing, but loads that nobody uses would be left out. */
let seen: i32 = 0

/**
 * From here on `touch` reads one word of every cache line of the pages that hold the next `rows` rows, from `entry` on, a few each turn of a loop that computes meanwhile.
 * So memory is at work while the processor is; a loop that waits for lines as it needs them waits for few at a time. Raw pages and halves are read in order, which the
 * processor foresees by itself: they are left out.
 */
export function touchNext(entry: usize, rows: i32, headDim: usize): void {
  page = entry
  for (; rows > 0; entry += ENTRY) rows -= entryRows(entry)
  pagesEnd = entry
  channels = headDim
  turnPage()
}

/** Touches the next so many bytes, at most to the end of a page. */
@inline export function touch(bytes: usize): void {
  let at = line
  const end = min(at + bytes, pageEnd)
  if (at >= end) return
  let words = seen
  for (; at < end; at += 64) words |= load<i32>(at)
  seen = words
  line = at
  if (at >= pageEnd) turnPage()
}

function turnPage(): void {
  line = pageEnd = 0
  for (; page < pagesEnd && line == pageEnd; page += ENTRY) {
    line = entryAddress(page)
    pageEnd = line + bytesOf(page, channels)
  }
}

function bytesOf(entry: usize, headDim: usize): usize {
  const code = entryCode(entry)
  if (code == 0 || code == HALVES) return 0
  const capacity = entryCapacity(entry)
  const scales = codeByChannel(code) ? headDim : capacity * (headDim / codeGroup(code))
  return (capacity * headDim * codeBits(code) >> 3) + (scales << 2)
}
