import { addPacked } from './add-packed'
import { multiplyRows } from './channel-factors'
import { entryAddress, entryCapacity, entryCode, factorsOf } from './page'

/**
 * What addPacked adds and returns, where a page's channels have factors: its rows are summed apart, and their sum is multiplied. `scratch`: headDim floats
 * for each query, then what addPacked takes.
 */
export function addFactored(entry: usize, start: i32, rows: i32, after: i32, headDim: usize, weights: usize, count: i32, output: usize, scratch: usize): i32 {
  const end = scratch + (<usize>count * headDim << 2)
  memory.fill(scratch, 0, end - scratch)
  const taken = addPacked(entry, start, rows, after, headDim, weights, count, scratch, end)
  multiplyRows(scratch, count, headDim, factorsOf(entryAddress(entry), entryCapacity(entry), entryCode(entry), headDim))
  for (; scratch < end; scratch += 16, output += 16) v128.store(output, f32x4.add(v128.load(output), v128.load(scratch)))
  return taken
}
