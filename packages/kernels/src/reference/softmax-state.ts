import type { Heap } from '../heap.ts'
import type { Queries, SoftmaxState } from '../kernels.ts'

/** The parts of a softmax state, as views. */
export interface StateView {
  max: Float32Array
  sum: Float32Array
  output: Float32Array
}

export function viewState(heap: Heap, state: SoftmaxState, queries: Queries): StateView {
  const n = queries.group * queries.count
  const at = state >>> 2
  return {
    max: heap.f32.subarray(at, at + n),
    sum: heap.f32.subarray(at + n, at + 2 * n),
    output: heap.f32.subarray(at + 2 * n, at + 2 * n + n * queries.headDim),
  }
}

export function begin(heap: Heap, state: SoftmaxState, queries: Queries): void {
  const { max, sum, output } = viewState(heap, state, queries)
  max.fill(-Infinity)
  sum.fill(0)
  output.fill(0)
}

export function finish(heap: Heap, state: SoftmaxState, queries: Queries, out: number): void {
  const { sum, output } = viewState(heap, state, queries)
  const { headDim } = queries
  const result = heap.f32.subarray(out >>> 2, (out >>> 2) + output.length)
  for (let i = 0; i < output.length; i++) {
    const total = sum[Math.floor(i / headDim)]
    result[i] = total === 0 ? 0 : output[i] / total
  }
}

/**
 * Continues the running softmax of query `i` with some logits and their values `[logits.length][headDim]`. A logit of -Infinity is
 * a row that is not there; a logit of NaN makes everything NaN.
 */
export function absorb(view: StateView, i: number, headDim: number, logits: Float32Array, values: Float32Array): void {
  let max = view.max[i]
  for (const logit of logits) max = Math.max(max, logit)
  if (max === -Infinity) return
  const rescale = Math.exp(view.max[i] - max)
  const weights = Float64Array.from(logits, (logit) => Math.exp(logit - max))
  let sum = view.sum[i] * rescale
  for (const weight of weights) sum += weight
  for (let channel = 0; channel < headDim; channel++) {
    let total = view.output[i * headDim + channel] * rescale
    for (let row = 0; row < weights.length; row++) if (weights[row] !== 0) total += weights[row] * values[row * headDim + channel]
    view.output[i * headDim + channel] = total
  }
  view.max[i] = max
  view.sum[i] = sum
}
