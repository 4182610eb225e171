import { codeBits, codeByChannel, codeGroup, entryAddress, entryCapacity, entryCode, HALVES } from './page'

/**
 * Reads one word of every cache line of a packed page that is needed soon. Many lines then come from memory at once, while a loop that computes
 * waits for few at a time. Raw pages and halves are read in order, which the processor foresees by itself. The result means nothing, but it must be used.
 */
export function touchPage(entry: usize, headDim: usize): i32 {
  if (entryCode(entry) == 0 || entryCode(entry) == HALVES) return 0
  let from = entryAddress(entry)
  let words = 0
  for (const end = from + bytesOf(entry, headDim); from < end; from += 64) words |= load<i32>(from)
  return words
}

@inline function bytesOf(entry: usize, headDim: usize): usize {
  const code = entryCode(entry)
  const capacity = entryCapacity(entry)
  const scales = codeByChannel(code) ? headDim : capacity * (headDim / codeGroup(code))
  return (capacity * headDim * codeBits(code) >> 3) + (scales << 2)
}
