import { budgetParam, defineMethod, topRows, type Budgeter, type BudgetSize, type LayerStats, type Method } from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject<{ budget: z.ZodOptional<typeof budgetParam>; layerwise: z.ZodDefault<z.ZodBoolean> }> = z.object({
  budget: budgetParam.optional(),
  layerwise: z.boolean().default(false).describe('every layer keeps as many rows; else the best rows of the whole cache stay'),
})

/**
 * KVzip: Query-Agnostic KV Cache Compression with Context Reconstruction (arXiv 2505.23416): after a prompt the model is asked to repeat it,
 * and is fed the prompt again, in parts of 2,048 tokens. A row's score is the most attention that any of these queries, by any query head
 * of its group, gives it: softmax over the prompt's first four rows, the part that is repeated and the second reading's own rows. What is needed to say the prompt again is
 * what any later question may need: so this decides well without a question, and costs about one more prefill.
 *
 * The budget is shared by all layers and heads: the best rows of the whole cache stay, as many as layers * heads * budget (`layerwise`: the
 * best of each layer, as many as heads * budget). Default: half of the tokens seen. As kvpress (8bb29b9), whose data this is held against; the authors'
 * code keeps the system prompt besides, for which there is `protect`.
 *
 * A `LlamaModel` of @kvfold/models does the second reading by itself; another model calls `KvCache.reconstruct`.
 */
export const kvzip: Method<typeof params> = defineMethod({
  name: 'kvzip',
  axes: ['budget', 'score'],
  paper: { title: 'KVzip: Query-Agnostic KV Cache Compression with Context Reconstruction', arxiv: '2505.23416', year: 2025 },
  summary: 'Rows stay that the model looks at when it repeats the prompt.',
  params,
  create: ({ budget, layerwise }) => {
    const sized = (size: BudgetSize): Budgeter => (layerwise ? byLayer(size) : overall(size))
    return {
      score: { needs: { reconstruction: true }, score: (_seen, head) => head.column('reconstruction').slice() },
      ...(budget ? { budget: sized(budget) } : { fallback: { budget: sized({ ratio: 0.5 }) } }),
    }
  },
})

/** One budget for all layers and heads. */
function overall(size: BudgetSize): Budgeter {
  return { size, when: 'model', allocate: (seen, { rows, layers, kvHeads }) => countBest(seen, rows * layers * kvHeads) }
}

/** One budget for the heads of a layer. */
function byLayer(size: BudgetSize): Budgeter {
  return { size, allocate: (seen, { rows, kvHeads }) => seen.flatMap((layer) => countBest([layer], rows * kvHeads)) }
}

/** How many of the `count` best rows of all these layers each head has. */
function countBest(seen: readonly LayerStats[], count: number): number[][] {
  const heads = seen.flatMap(({ scores }) => scores)
  const all = new Float32Array(heads.reduce((sum, head) => sum + head.length, 0))
  let start = 0
  const ends = heads.map((head) => {
    all.set(head, start)
    return (start += head.length)
  })
  const counts = heads.map(() => 0)
  let head = 0
  for (const row of topRows(all, count)) {
    while (row >= ends[head]) head++
    counts[head]++
  }
  let at = 0
  return seen.map(({ scores }) => scores.map(() => counts[at++]))
}
