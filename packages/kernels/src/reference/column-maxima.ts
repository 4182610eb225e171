import type { Heap } from '../heap.ts'
import type { Queries, Rows, SoftmaxState } from '../kernels.ts'
import { logitsOf } from './logits.ts'
import { viewState } from './softmax-state.ts'

/** Raises `maxima` `[group][rows]` to each row's attention, exp(logit - max) / sum, where a query gives it more. */
export function columnMaxima(heap: Heap, state: SoftmaxState, queries: Queries, rows: Rows, causal: number, maxima: number): void {
  const { max, sum } = viewState(heap, state, queries)
  const of = logitsOf(heap, queries, rows, causal)
  for (let head = 0; head < queries.group; head++) {
    const most = heap.f32.subarray((maxima >>> 2) + head * rows.rows, (maxima >>> 2) + (head + 1) * rows.rows)
    for (let query = head * queries.count; query < (head + 1) * queries.count; query++) {
      if (sum[query] === 0) continue
      of(query).forEach((logit, row) => {
        if (logit !== -Infinity) most[row] = Math.max(most[row], Math.exp(logit - max[query]) / sum[query])
      })
    }
  }
}
