import type { Heap } from '../heap.ts'
import type { Blocks, Queries, Rows, SoftmaxState } from '../kernels.ts'
import { decodeRows } from './decode-rows.ts'
import { logitsOf } from './logits.ts'
import { absorb, viewState } from './softmax-state.ts'

/** Every query sees the rows up to its own, and of these, with `blocks`, only the listed blocks. */
export function prefill(heap: Heap, state: SoftmaxState, queries: Queries, rows: Rows, causal: number, blocks?: Blocks): void {
  const { headDim } = queries
  const view = viewState(heap, state, queries)
  const values = rows.valueTable
    ? decodeRows(heap, rows.valueTable, rows.valuePages, rows.rows, headDim)
    : new Float32Array(rows.rows * headDim)
  const of = logitsOf(heap, queries, rows, causal)
  for (let query = 0; query < queries.group * queries.count; query++) {
    const row = of(query)
    if (blocks) keepListed(heap, row, queries, query, blocks)
    absorb(view, query, headDim, row, values)
  }
}

/** Sets the logits of all rows outside the listed blocks to -Infinity. */
function keepListed(heap: Heap, logits: Float32Array, queries: Queries, query: number, blocks: Blocks): void {
  const head = Math.floor(query / queries.count)
  const block = Math.floor((query % queries.count) / blocks.size)
  const perHead = Math.ceil(queries.count / blocks.size) + 1
  const offsets = heap.i32.subarray((blocks.offsets >>> 2) + head * perHead + block)
  const listed = new Set(heap.i32.subarray((blocks.indices >>> 2) + offsets[0], (blocks.indices >>> 2) + offsets[1]))
  for (let row = 0; row < logits.length; row++) if (!listed.has(Math.floor(row / blocks.size))) logits[row] = -Infinity
}
