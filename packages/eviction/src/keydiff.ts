import { budgetParam, defineMethod, uniform, type Method } from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject<{ budget: z.ZodOptional<typeof budgetParam> }> = z.object({ budget: budgetParam.optional() })

/**
 * KeyDiff: Key Similarity-Based KV Cache Eviction (arXiv 2504.15364): at the end of a prompt the rows stay whose keys point away from the
 * others, score = -cos(k, anchor) with the anchor as the mean of all keys k / ||k|| of the head. Looks at no query, and protects nothing.
 *
 * Default: half of the tokens seen. The paper reads the prompt in blocks under a fixed cache and scores anew after each; like kvpress, this
 * scores once. A prompt given in parts is scored after each part, on what is still there.
 */
export const keydiff: Method<typeof params> = defineMethod({
  name: 'keydiff',
  axes: ['budget', 'score'],
  paper: { title: 'KeyDiff: Key Similarity-Based KV Cache Eviction', arxiv: '2504.15364', year: 2025 },
  summary: 'Rows stay whose keys differ most from the others.',
  params,
  create: ({ budget }) => ({
    score: { needs: { keys: true }, score: (_seen, head) => difference(head.keys(), head.rows, head.headDim) },
    ...(budget ? { budget: uniform(budget) } : { fallback: { budget: uniform({ ratio: 0.5 }) } }),
  }),
})

function difference(keys: Float32Array, rows: number, headDim: number): Float32Array {
  const lengths = new Float64Array(rows)
  const anchor = new Float64Array(headDim)
  for (let row = 0; row < rows; row++) {
    const key = keys.subarray(row * headDim, (row + 1) * headDim)
    lengths[row] = Math.sqrt(dot(key, key)) || 1
    for (let c = 0; c < headDim; c++) anchor[c] += key[c] / lengths[row] / rows
  }
  const length = Math.sqrt(dot(anchor, anchor)) || 1
  return Float32Array.from(
    { length: rows },
    (_, row) => -dot(keys.subarray(row * headDim, (row + 1) * headDim), anchor) / lengths[row] / length,
  )
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}
