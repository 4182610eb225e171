import {
  budgetParam,
  defineMethod,
  frequencies,
  observed,
  uniform,
  type HeadView,
  type Method,
  type Observation,
  type QueryMoments,
} from '@kvfold/kv-core'
import { z } from 'zod'
import { cholesky } from './cholesky.ts'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  future: z.ZodDefault<z.ZodNumber>
  sinks: z.ZodDefault<z.ZodNumber>
  covariance: z.ZodDefault<z.ZodBoolean>
  values: z.ZodDefault<z.ZodBoolean>
  epsilon: z.ZodDefault<z.ZodNumber>
}> = z.object({
  budget: budgetParam.optional(),
  future: z.number().int().min(1).default(512).describe('positions to come over which queries are expected'),
  sinks: z.number().int().min(0).default(4).describe('first tokens, which always stay and take no part in the statistics'),
  covariance: z.boolean().default(true).describe('the spread of queries counts, not only their mean'),
  values: z.boolean().default(true).describe('weigh a row by the length of its value'),
  epsilon: z.number().min(0).default(0).describe('added to the expected attention before it is weighed'),
})

/**
 * Expected Attention: KV Cache Compression by Estimating Attention from Future Queries Distribution (arXiv 2510.00636). The queries to come
 * are taken to be normal, with mean mu and covariance Sigma of the prompt's unrotated queries (without the first `sinks`), rotated by the
 * mean rotation of the next `future` positions. The expected weight of row j is exp(z_j), z = k.mu / sqrt(d) + k^T Sigma k / (2d); softmax
 * over the rows after the sinks, mean over the group, plus epsilon, times ||v_j||.
 *
 * Defaults: half of the tokens seen, 512 positions, 4 sinks, covariance and values on, epsilon 0 (kvpress's registry runs it with 1e-2 under
 * Ada-KV). As kvpress 8bb29b9. Sigma is split by Cholesky, so that k^T Sigma k is a sum of squared logits of headDim made-up queries: the
 * same kernel that attends. A prompt of no more than `sinks` tokens keeps its newest rows.
 */
export const expectedAttention: Method<typeof params> = defineMethod({
  name: 'expected-attention',
  axes: ['budget', 'score'],
  paper: {
    title: 'Expected Attention: KV Cache Compression by Estimating Attention from Future Queries Distribution',
    arxiv: '2510.00636',
    year: 2025,
  },
  summary: 'Rows stay that queries to come are expected to attend to.',
  params,
  create: ({ budget, ...options }) => ({
    score: {
      needs: { queryMoments: options.sinks, keys: true, ...(options.values && { values: true }) },
      score: (seen, head) => expectation(seen, head, options),
    },
    ...(budget ? { budget: uniform(budget) } : { fallback: { budget: uniform({ ratio: 0.5 }) } }),
  }),
})

type Options = Omit<z.output<typeof params>, 'budget'>

function expectation(seen: Observation, head: HeadView, options: Options): Float32Array {
  const { rows, headDim, positions } = head
  const { sinks, epsilon, values } = options
  const moments = observed(seen.queryMoments, 'expected-attention', 'queryMoments')
  const first = positions.findIndex((position) => position >= sinks)
  const scores = new Float32Array(rows)
  if (moments.count === 0 || first < 0) return scores.map((_, row) => row)
  const weights = new Float64Array(rows)
  for (let g = 0; g < seen.group; g++) {
    const z = expectedLogits(moments, g, head, options)
    const most = z.reduce((a, b, row) => (row >= first && b > a ? b : a), -Infinity)
    let sum = 0
    for (let row = first; row < rows; row++) sum += z[row] = Math.exp(z[row] - most)
    for (let row = first; row < rows; row++) weights[row] += z[row] / sum / seen.group
  }
  const data = values ? head.values() : undefined
  for (let row = first; row < rows; row++) {
    const length = data ? Math.hypot(...data.subarray(row * headDim, (row + 1) * headDim)) : 1
    scores[row] = (weights[row] + epsilon) * length
  }
  return scores.fill(Infinity, 0, first)
}

function expectedLogits({ count, sum, gram }: QueryMoments, g: number, head: HeadView, { covariance, future }: Options): Float64Array {
  const { rows, headDim: d } = head
  const mean = sum.slice(g * d, (g + 1) * d).map((total) => total / count)
  const rotate = meanRotation(head, future)
  const queries = new Float32Array((covariance ? d + 1 : 1) * d)
  if (covariance) {
    const sigma = gram.slice(g * d * d, (g + 1) * d * d).map((total, i) => total / count - mean[Math.floor(i / d)] * mean[i % d])
    for (let i = 0; i < d; i++) rotate(sigma, i * d, 1)
    for (let i = 0; i < d; i++) rotate(sigma, i, d)
    // Column i of the factor is made-up query i + 1.
    const factor = cholesky(sigma, d)
    for (let i = 0; i < d; i++) for (let c = 0; c < d; c++) queries[(i + 1) * d + c] = factor[c * d + i]
  }
  rotate(mean, 0, 1)
  queries.set(mean)
  const logits = head.logits(queries, queries.length / d)
  const z = Float64Array.from(logits.subarray(0, rows))
  for (let at = rows, row = 0; at < logits.length; at++, row = row + 1 === rows ? 0 : row + 1) z[row] += (logits[at] * logits[at]) / 2
  return z
}

/** Turns a vector in place (from `at` on, `step` apart) by the mean of the rotations of the next `future` positions. */
function meanRotation({ rope, headDim, seen }: HeadView, future: number): (data: Float64Array, at: number, step: number) => void {
  if (rope === 'external') throw new TypeError('Expected attention needs a cache that rotates.')
  const half = headDim / 2
  const { perPair, attentionFactor } = frequencies(rope, headDim, seen)
  const mean = (wave: (x: number) => number): Float64Array =>
    perPair.map((frequency) => {
      let sum = 0
      for (let i = 0; i < future; i++) sum += wave((seen + i) * frequency)
      return (sum / future) * attentionFactor
    })
  const cos = mean(Math.cos),
    sin = mean(Math.sin)
  return (data, at, step) => {
    for (let pair = 0; pair < half; pair++) {
      const i = at + pair * step,
        j = i + half * step
      const x = data[i],
        y = data[j]
      data[i] = x * cos[pair] - y * sin[pair]
      data[j] = y * cos[pair] + x * sin[pair]
    }
  }
}
