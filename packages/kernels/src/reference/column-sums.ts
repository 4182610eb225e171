import type { Heap } from '../heap.ts'
import type { Queries, Rows, SoftmaxState } from '../kernels.ts'
import { logitsOf } from './logits.ts'
import { viewState } from './softmax-state.ts'

/** Adds to `sums` `[group][rows]` each row's attention: exp(logit - max) / sum, summed over the head's queries. */
export function columnSums(heap: Heap, state: SoftmaxState, queries: Queries, rows: Rows, causal: number, sums: number): void {
  const { max, sum } = viewState(heap, state, queries)
  const of = logitsOf(heap, queries, rows, causal)
  for (let head = 0; head < queries.group; head++) {
    const totals = new Float64Array(rows.rows)
    for (let query = head * queries.count; query < (head + 1) * queries.count; query++) {
      if (sum[query] === 0) continue
      of(query).forEach((logit, row) => {
        if (logit !== -Infinity) totals[row] += Math.exp(logit - max[query]) / sum[query]
      })
    }
    const at = (sums >>> 2) + head * rows.rows
    totals.forEach((total, row) => (heap.f32[at + row] += total))
  }
}
