import { blockAddends } from './block-addends'
import { exponentials } from './exp'
import { nextKeys, startRows } from './rows'
import { BLOCK, STRIDE } from './simd'
import { tileLogits } from './tile-logits'
import { finishLogits } from './tile-softmax'
import { transpose } from './transpose'

/** Adds to `sums` `[group][rows]` each row's exp(logit - max) / sum over the queries. */
export function columnSums(
  max: usize, sum: usize, queries: usize, group: i32, count: i32, headDim: usize,
  keyTable: usize, rows: i32, start: i32, end: i32, bias: usize, scale: f32, logWeight: f32, causal: i32, sums: usize, scratch: usize,
): void {
  reduceColumns(false, max, sum, queries, group, count, headDim, keyTable, rows, start, end, bias, scale, logWeight, causal, sums, scratch)
}

/** Raises `maxima` `[group][rows]` to each row's largest exp(logit - max) / sum over the queries. */
export function columnMaxima(
  max: usize, sum: usize, queries: usize, group: i32, count: i32, headDim: usize,
  keyTable: usize, rows: i32, start: i32, end: i32, bias: usize, scale: f32, logWeight: f32, causal: i32, maxima: usize, scratch: usize,
): void {
  reduceColumns(true, max, sum, queries, group, count, headDim, keyTable, rows, start, end, bias, scale, logWeight, causal, maxima, scratch)
}

/**
 * The same walk as prefill, without values, over the rows from `start` to `end`. `scratch`: 64 totals (sums, or maxima), 64 addends, logits, then two blocks of rows.
 */
function reduceColumns(
  maxima: bool,
  max: usize, sum: usize, queries: usize, group: i32, count: i32, headDim: usize,
  keyTable: usize, rows: i32, start: i32, end: i32, bias: usize, scale: f32, logWeight: f32, causal: i32, sums: usize, scratch: usize,
): void {
  const addends = scratch + 256
  const logits = addends + 256
  const columnsAt = logits + 4 * STRIDE
  const keysAt = columnsAt + (headDim << 8)
  const rowBytes = headDim << 2
  startRows(keyTable, 0, start)
  for (let first = start; first < end; first += BLOCK) {
    const seeing = causal < 0 || first < causal ? 0 : first - causal & ~3
    if (seeing >= count) return
    const held = min(BLOCK, end - first)
    transpose(nextKeys(held, headDim, keysAt), held, headDim, columnsAt)
    blockAddends(bias, first, held, logWeight, addends)
    for (let head = 0; head < group; head++) {
      memory.fill(scratch, 0, 256)
      for (let query = seeing; query < count; query += 4) {
        const last = min(query + 3, count - 1)
        const most = causal < 0 ? held : min(held, causal + last + 1 - first)
        const columns = most + 7 & ~7
        const at = queries + <usize>(head * count) * rowBytes
        tileLogits(
          columnsAt, at + <usize>query * rowBytes, at + <usize>min(query + 1, last) * rowBytes, at + <usize>min(query + 2, last) * rowBytes,
          at + <usize>last * rowBytes, headDim, columns, logits,
        )
        for (let j = 0; query + j <= last; j++) {
          const i = <usize>(head * count + query + j) << 2
          const total = load<f32>(sum + i)
          if (total == 0) continue
          const visible = causal < 0 ? held : min(held, causal + query + j + 1 - first)
          const row = logits + <usize>j * STRIDE
          finishLogits(row, columns, visible, 15, scale, addends)
          if (maxima) raise(row, columns, load<f32>(max + i), 1 / total, scratch)
          else accumulate(row, columns, load<f32>(max + i), 1 / total, scratch)
        }
      }
      for (let j = 0; j < held; j++) {
        const at = sums + (<usize>(head * rows + first + j) << 2)
        const seen = load<f32>(scratch + (<usize>j << 2))
        store<f32>(at, maxima ? Mathf.max(load<f32>(at), seen) : load<f32>(at) + seen)
      }
    }
  }
}

/** totals += e^(logit - max) * share, column by column. */
@inline function accumulate(row: usize, columns: i32, max: f32, share: f32, totals: usize): void {
  exponentials(row, columns, max)
  for (const end = row + (<usize>columns << 2); row < end; row += 16, totals += 16) {
    v128.store(totals, f32x4.add(v128.load(totals), f32x4.mul(v128.load(row), f32x4.splat(share))))
  }
}

/** totals = max(totals, e^(logit - max) * share), column by column. */
@inline function raise(row: usize, columns: i32, max: f32, share: f32, totals: usize): void {
  exponentials(row, columns, max)
  for (const end = row + (<usize>columns << 2); row < end; row += 16, totals += 16) {
    v128.store(totals, f32x4.pmax(v128.load(totals), f32x4.mul(v128.load(row), f32x4.splat(share))))
  }
}
