import { budgetParam, defineMethod, observed, uniform, type HeadView, type Method, type Observation } from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  share: z.ZodOptional<z.ZodNumber>
  sample: z.ZodDefault<z.ZodNumber>
}> = z.object({
  budget: budgetParam.optional(),
  share: z.number().positive().max(1).optional().describe('last part of the prompt that looks; default: 0.2, and 0.1 beyond 24,000 tokens'),
  sample: z.number().int().min(1).default(128).describe('queries of that part that are looked at, evenly spread'),
})

/** Queries that are looked at together. */
const SLICE = 16

/**
 * MPCache: MPC-Friendly KV Cache Eviction for Efficient Private LLM Inference (arXiv 2501.06807), its static half: at the end of a prompt the
 * rows leave at which no query of the prompt's last part looks. Attention (softmax over all rows, without 1/sqrt(headDim) and without
 * a causal mask, as the authors' code) is averaged over all heads of the layer; a row's score is the most that any query gives it. All heads of
 * a layer keep the same rows. Generated rows never leave.
 *
 * The code keeps what is above a threshold that is set by hand for each data set; here the budget says how much stays (default: 30 % of the
 * tokens seen, what the authors kept on HotpotQA). Of the last part `sample` queries are taken, evenly spread: all of them, 819 at 4,096
 * tokens, cost a sixth of the prefill. The other half, which chooses among what is left at every step, belongs to sparse decoding.
 */
export const mpcache: Method<typeof params> = defineMethod({
  name: 'mpcache',
  axes: ['budget', 'score'],
  paper: { title: 'MPCache: MPC-Friendly KV Cache Eviction for Efficient Private LLM Inference', arxiv: '2501.06807', year: 2025 },
  summary: "Rows stay that any query of the prompt's last part looks at, the same in all heads of a layer.",
  params,
  create: ({ budget, share, sample }) => {
    const scoreLayer = (seen: readonly Observation[], heads: readonly HeadView[]): Float32Array[] => {
      const together = heads.every(({ rows }) => rows === heads[0].rows)
      if (!together) return heads.map((head, h) => mostAttention([seen[h]], [head], share, sample))
      const scores = mostAttention(seen, heads, share, sample)
      return heads.map(() => scores.slice())
    }
    return {
      score: { needs: { queries: true, keys: true }, scoreLayer, score: (seen, head) => scoreLayer([seen], [head])[0] },
      ...(budget ? { budget: uniform(budget) } : { fallback: { budget: uniform({ ratio: 0.3 }) } }),
    }
  },
})

function mostAttention(seen: readonly Observation[], heads: readonly HeadView[], share: number | undefined, sample: number): Float32Array {
  const { rows, headDim } = heads[0]
  const queries = seen.map((one) => observed(one.queries, 'mpcache', 'queries'))
  const { count } = queries[0]
  const looking = Math.max(1, Math.floor(count * (share ?? (count > 24_000 ? 0.1 : 0.2))))
  const taken = Math.min(sample, looking)
  const chosen = Array.from({ length: taken }, (_, i) => count - 1 - Math.floor((i * looking) / taken))
  const most = new Float32Array(rows)
  const groups = seen.reduce((sum, { group }) => sum + group, 0)
  for (let first = 0; first < taken; first += SLICE) {
    const slice = chosen.slice(first, first + SLICE)
    const mean = new Float32Array(slice.length * rows)
    heads.forEach((head, h) => {
      for (let g = 0; g < seen[h].group; g++) {
        // The view divides logits by sqrt(headDim), which the authors' code does not.
        const asked = new Float32Array(slice.length * headDim)
        slice.forEach((query, i) => {
          const at = (g * count + query) * headDim
          for (let c = 0; c < headDim; c++) asked[i * headDim + c] = queries[h].data[at + c] * Math.sqrt(headDim)
        })
        const attention = head.attention(asked, slice.length)
        for (let i = 0; i < mean.length; i++) mean[i] += attention[i]
      }
    })
    for (let i = 0; i < slice.length; i++)
      for (let row = 0, at = i * rows; row < rows; row++, at++) if (mean[at] > most[row] * groups) most[row] = mean[at] / groups
  }
  return most
}
