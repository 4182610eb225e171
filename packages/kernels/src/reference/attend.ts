import type { Heap } from '../heap.ts'
import type { LogitsTarget, Queries, Rows, SoftmaxState } from '../kernels.ts'
import { decodeRows } from './decode-rows.ts'
import { logitsOf } from './logits.ts'
import { absorb, viewState } from './softmax-state.ts'

/** Every query sees all rows. */
export function attend(heap: Heap, state: SoftmaxState, queries: Queries, rows: Rows, logits?: LogitsTarget): void {
  const { headDim } = queries
  const view = viewState(heap, state, queries)
  const values = decodeRows(heap, rows.valueTable, rows.valuePages, rows.rows, headDim)
  const of = logitsOf(heap, queries, rows, -1)
  for (let query = 0; query < queries.group * queries.count; query++) {
    const row = of(query)
    if (logits) heap.f32.set(row, (logits.address >>> 2) + query * logits.stride)
    absorb(view, query, headDim, row, values)
  }
}
