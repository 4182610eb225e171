import type { Heap } from '../heap.ts'
import type { LogitsTarget, Queries, Rows } from '../kernels.ts'
import { decodeRows } from './decode-rows.ts'

/** How many rows query `i` of a head may see. */
function visibleRows(rows: number, causal: number, i: number): number {
  return causal < 0 ? rows : Math.min(rows, causal + i + 1)
}

/** A function that gives one query's logits for all rows, rounded to float32; rows that it may not see get -Infinity. */
export function logitsOf(heap: Heap, queries: Queries, rows: Rows, causal: number): (query: number) => Float32Array {
  const { headDim, keyDim = headDim, count } = queries
  const keys = decodeRows(heap, rows.keyTable, rows.keyPages, rows.rows, keyDim)
  const { f32 } = heap
  const scale = rows.logitScale / Math.sqrt(headDim)
  return (query) => {
    const out = new Float32Array(rows.rows).fill(-Infinity)
    const visible = visibleRows(rows.rows, causal, query % count)
    for (let row = 0; row < visible; row++) {
      let dot = 0
      for (let channel = 0; channel < keyDim; channel++) {
        dot += f32[(queries.address >>> 2) + query * keyDim + channel] * keys[row * keyDim + channel]
      }
      out[row] = dot * scale + rows.logWeight + (rows.bias ? f32[(rows.bias >>> 2) + row] : 0)
    }
    return out
  }
}

/** Writes the logits of all queries to `[group*count][stride]`. */
export function logits(heap: Heap, queries: Queries, rows: Rows, causal: number, into: LogitsTarget): void {
  const of = logitsOf(heap, queries, rows, causal)
  for (let query = 0; query < queries.group * queries.count; query++) heap.f32.set(of(query), (into.address >>> 2) + query * into.stride)
}
