import { blockAddends } from './block-addends'
import { nextKeys, startRows } from './rows'
import { BLOCK, STRIDE } from './simd'
import { tileLogits } from './tile-logits'
import { finishLogits } from './tile-softmax'
import { transpose } from './transpose'

/** Writes the logits of all queries for the rows from `start` to `rows` to `[group*count][stride]`. `scratch`: 64 addends, logits, then two blocks of rows. */
export function logits(
  queries: usize, group: i32, count: i32, headDim: usize, keyTable: usize, start: i32, rows: i32, bias: usize, scale: f32, logWeight: f32, causal: i32,
  into: usize, stride: usize, scratch: usize,
): void {
  const tile = scratch + 256
  const columnsAt = tile + 4 * STRIDE
  const keysAt = columnsAt + (headDim << 8)
  const rowBytes = headDim << 2
  const all = group * count
  startRows(keyTable, 0, start)
  for (let first = start; first < rows; first += BLOCK) {
    const held = min(BLOCK, rows - first)
    transpose(nextKeys(held, headDim, keysAt), held, headDim, columnsAt)
    blockAddends(bias, first, held, logWeight, scratch)
    for (let query = 0; query < all; query += 4) {
      const last = min(query + 3, all - 1)
      tileLogits(
        columnsAt, queries + <usize>query * rowBytes, queries + <usize>min(query + 1, last) * rowBytes, queries + <usize>min(query + 2, last) * rowBytes,
        queries + <usize>last * rowBytes, headDim, held, tile,
      )
      for (let j = 0; query + j <= last; j++) {
        const visible = causal < 0 ? held : causal + (query + j) % count + 1 - first
        const row = tile + <usize>j * STRIDE
        finishLogits(row, held + 3 & ~3, min(held, visible), 15, scale, scratch)
        memory.copy(into + (<usize>(query + j) * stride + <usize>first << 2), row, <usize>held << 2)
      }
    }
  }
}
