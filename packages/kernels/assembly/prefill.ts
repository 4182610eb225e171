import { blockAddends } from './block-addends'
import { blockMask } from './block-mask'
import { nextKeys, nextValues, startRows } from './rows'
import { BLOCK, STRIDE } from './simd'
import { tileLogits } from './tile-logits'
import { anyNaN, finishLogits, weigh } from './tile-softmax'
import { tileValues } from './tile-values'
import { transpose } from './transpose'

/**
 * A tile whose logits all lie so far below the largest before them is left out: with weights under e^-24 = 4e-11, ten thousand rows
 * together stay below what a float32 sum can show. A tile that holds a NaN is never left out.
 */
const NEGLIGIBLE: f32 = 24

/**
 * Many queries. Block of rows by block of rows: the keys are transposed once, then serve all queries of all heads of the group, four at a time,
 * each of which continues its running softmax; without `valueTable` only its max and sum. Keys have `keyDim` channels, values `headDim`. `scratch`: 4 factors, 64 addends, logits, then three blocks of rows.
 */
export function prefill(
  max: usize, sum: usize, output: usize, queries: usize, group: i32, count: i32, keyDim: usize, headDim: usize,
  keyTable: usize, valueTable: usize, rows: i32, bias: usize, scale: f32, logWeight: f32, causal: i32,
  size: i32, offsets: usize, indices: usize, scratch: usize,
): void {
  const addends = scratch + 16
  const logits = addends + 256
  const columnsAt = logits + 4 * STRIDE
  const keysAt = columnsAt + (keyDim << 8)
  const valuesAt = keysAt + (keyDim << 8)
  const keyBytes = keyDim << 2
  const rowBytes = headDim << 2
  const queryBlocks = size > 0 ? (count + size - 1) / size + 1 : 0
  startRows(keyTable, valueTable, 0)
  for (let first = 0; first < rows; first += BLOCK) {
    // Queries before this one see nothing of the block, nor of those that follow.
    const start = causal < 0 ? 0 : max32(0, first - causal) & ~3
    if (start >= count) return
    const held = min(BLOCK, rows - first)
    transpose(nextKeys(held, keyDim, keysAt), held, keyDim, columnsAt)
    const values = valueTable ? nextValues(held, headDim, valuesAt) : 0
    blockAddends(bias, first, held, logWeight, addends)
    for (let head = 0; head < group; head++) {
      let seen = -1
      let mask = 15
      for (let query = start; query < count; query += 4) {
        if (size > 0 && query / size != seen) {
          seen = query / size
          const at = offsets + (<usize>(head * queryBlocks + seen) << 2)
          mask = blockMask(indices + (<usize>load<i32>(at) << 2), indices + (<usize>load<i32>(at, 4) << 2), size, first)
        }
        if (mask == 0) continue
        const last = min(query + 3, count - 1)
        const most = causal < 0 ? held : min(held, causal + last + 1 - first)
        const columns = most + 7 & ~7
        const i0 = <usize>(head * count + query)
        const i1 = <usize>(head * count + min(query + 1, last))
        const i2 = <usize>(head * count + min(query + 2, last))
        const i3 = <usize>(head * count + last)
        tileLogits(columnsAt, queries + i0 * keyBytes, queries + i1 * keyBytes, queries + i2 * keyBytes, queries + i3 * keyBytes, keyDim, columns, logits)
        let matters = false
        for (let j = 0; query + j <= last; j++) {
          const i = <usize>(head * count + query + j) << 2
          const visible = causal < 0 ? held : min(held, causal + query + j + 1 - first)
          const largest = finishLogits(logits + <usize>j * STRIDE, columns, visible, mask, scale, addends)
          store<f32>(scratch + (<usize>j << 2), largest)
          if (!(largest < load<f32>(max + i) - NEGLIGIBLE)) matters = true
        }
        for (let j = 0; !matters && query + j <= last; j++) matters = anyNaN(logits + <usize>j * STRIDE, columns)
        if (!matters) continue
        for (let j = 0; query + j <= last; j++) {
          const i = <usize>(head * count + query + j) << 2
          const at = scratch + (<usize>j << 2)
          store<f32>(at, weigh(logits + <usize>j * STRIDE, columns, load<f32>(at), max + i, sum + i))
        }
        if (!valueTable) continue
        // Past the last query the tile repeats it; the repeats change nothing.
        if (query + 3 > last) repeatLast(logits, scratch, last - query)
        tileValues(values, most, headDim, logits, scratch, output + i0 * rowBytes, output + i1 * rowBytes, output + i2 * rowBytes, output + i3 * rowBytes)
      }
    }
  }
}

/** Copies the weights and the factor of query `last` of a tile to those after it, so that all write the same. */
function repeatLast(logits: usize, factors: usize, last: i32): void {
  for (let j = last + 1; j < 4; j++) {
    memory.copy(logits + <usize>j * STRIDE, logits + <usize>last * STRIDE, 256)
    store<f32>(factors + (<usize>j << 2), load<f32>(factors + (<usize>last << 2)))
  }
}

@inline function max32(a: i32, b: i32): i32 {
  return a > b ? a : b
}
