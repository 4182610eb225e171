import { budgetParam, defineMethod, observed, uniform, type HeadView, type Method, type Observation, type Scorer } from '@kvfold/kv-core'
import { z } from 'zod'
import { lastQueries } from './last-queries.ts'

const params: z.ZodObject<{ budget: z.ZodOptional<typeof budgetParam>; newest: z.ZodDefault<z.ZodBoolean> }> = z.object({
  budget: budgetParam.optional(),
  newest: z.boolean().default(false).describe('the newest row always stays, as in kvpress'),
})

/**
 * Transformers are Multi-State RNNs (TOVA, arXiv 2401.06104): the rows stay that the last query attends to most, by its attention
 * averaged over all query heads of the layer, so that all heads of a layer keep the same rows. At the end of a prompt and after every
 * step. Nothing is protected, sinks and the newest row neither, and nothing is remembered: each decision is one query's.
 *
 * Default: 512 rows. As the authors' code (schwartz-lab-NLP/TOVA 9c7d09b); kvpress cuts at the end of the prompt only and keeps the
 * newest row (`newest=true`). Where another preset makes the heads' rows differ, each head is averaged over its own query heads.
 */
export const tova: Method<typeof params> = defineMethod({
  name: 'tova',
  axes: ['budget', 'score'],
  paper: { title: 'Transformers are Multi-State RNNs', arxiv: '2401.06104', year: 2024 },
  summary: 'Rows stay that the last query attends to, by all heads of the layer together.',
  params,
  create: ({ budget, newest }) => ({
    score: lastQuery(newest),
    ...(budget ? { budget: uniform(budget) } : { fallback: { budget: uniform({ tokens: 512 }) } }),
  }),
})

function lastQuery(newest: boolean): Scorer {
  const scoreLayer = (seen: readonly Observation[], heads: readonly HeadView[]): Float32Array[] => {
    const own = heads.map((head, h) => groupMean(seen[h], head.rows))
    const together = own.every((scores) => scores.length === own[0].length)
    const scores = together ? own.map(() => mean(own)) : own
    if (newest) for (const head of scores) head.fill(Infinity, Math.max(0, head.length - 1))
    return scores
  }
  return {
    needs: { windowAttention: 1, stepAttention: true },
    moments: ['prefill', 'decode'],
    score: (seen, head) => scoreLayer([seen], [head])[0],
    scoreLayer,
  }
}

/** The last query's attention [group][rows], averaged over the group. */
function groupMean(seen: Observation, rows: number): Float32Array {
  const attention =
    seen.moment === 'decode' ? observed(seen.stepAttention, 'tova', 'stepAttention') : lastQueries(seen, 'tova', 1, rows).data
  return mean(Array.from({ length: seen.group }, (_, g) => attention.subarray(g * rows, (g + 1) * rows)))
}

function mean(all: readonly Float32Array[]): Float32Array {
  return Float32Array.from(all[0], (_, i) => all.reduce((sum, one) => sum + one[i], 0) / all.length)
}
