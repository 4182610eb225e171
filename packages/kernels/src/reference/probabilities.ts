import type { Heap } from '../heap.ts'
import type { LogitsTarget, Queries, SoftmaxState } from '../kernels.ts'
import { viewState } from './softmax-state.ts'

/** Logits to probabilities, in place. A query that saw nothing gets zeros. */
export function probabilities(heap: Heap, state: SoftmaxState, queries: Queries, logits: LogitsTarget, rows: number): void {
  const { max, sum } = viewState(heap, state, queries)
  for (let query = 0; query < max.length; query++) {
    const first = (logits.address >>> 2) + query * logits.stride
    const row = heap.f32.subarray(first, first + rows)
    row.forEach((logit, i) => (row[i] = sum[query] === 0 ? 0 : Math.exp(logit - max[query]) / sum[query]))
  }
}
