import { add, dispose, matMul, randomNormal, softmax, sum, tensor, tidy } from '@tensorflow/tfjs-core'
import { compare } from './compare.mjs'
import { GROUP, HEAD, queriesOf, release, segment } from './segment.mjs'

/** A causal prompt of one KV head against tfjs's matMul, mask, softmax, matMul; and the column sums against the same without values. */
export async function benchPrefill(kernels, tokens) {
  const { queries, state, out } = queriesOf(kernels, GROUP, tokens)
  const rows = segment(kernels, tokens, 32)
  const totals = kernels.heap.malloc(GROUP * tokens * 4)
  const [k, v] = [randomNormal([1, tokens, HEAD]), randomNormal([1, tokens, HEAD])]
  const q = randomNormal([GROUP, tokens, HEAD])
  const mask = tensor(
    Float32Array.from({ length: tokens * tokens }, (_, i) => (i % tokens > Math.floor(i / tokens) ? -1e9 : 0)),
    [1, tokens, tokens],
  )
  const weights = () => softmax(add(matMul(q, k, false, true), mask))
  // A causal matrix is half full: two products of 2 headDim operations for every pair that is seen.
  const work = GROUP * ((tokens * (tokens + 1)) / 2) * HEAD * 4
  const prompt = () => {
    kernels.begin(state, queries)
    kernels.prefill(state, queries, rows, 0)
  }
  const shown = tokens.toLocaleString('en')
  const results = [
    await compare({
      name: `causal prefill, ${shown} tokens, ${GROUP} query heads, against tfjs operations`,
      goal: 1 / 2,
      rounds: 5,
      ours: () => (prompt(), kernels.finish(state, queries, out)),
      other: () => tidy(() => void matMul(weights(), v).dataSync()),
      note: (ms) => `${(work / ms / 1e6).toFixed(1)} GFLOP/s`,
    }),
    await compare({
      name: `column sums, ${shown} tokens, ${GROUP} query heads, against tfjs operations`,
      goal: 1 / 2,
      rounds: 5,
      ours: () => kernels.columnSums(state, queries, rows, 0, totals),
      other: () => tidy(() => void sum(weights(), 1).dataSync()),
    }),
  ]
  dispose([q, k, v, mask])
  release(kernels, rows)
  return results
}
