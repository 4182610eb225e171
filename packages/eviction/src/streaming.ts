import { budgetParam, defineMethod, protectSinks, uniform, type Method, type Scorer, type Selector } from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject<{ budget: z.ZodOptional<typeof budgetParam>; sinks: z.ZodDefault<z.ZodNumber> }> = z.object({
  budget: budgetParam.optional(),
  sinks: z.number().int().min(0).default(4).describe('first tokens that always stay'),
})

/**
 * Efficient Streaming Language Models with Attention Sinks (StreamingLLM, arXiv 2309.17453): the first `sinks` tokens and the
 * newest ones stay, the same rows in every layer and head, at the end of the prompt and after every step. Looks at nothing.
 *
 * Defaults: 4 sinks and 512 recent rows, as the official class. A budget of no more than `sinks` rows keeps the first budget - 1
 * tokens and the newest.
 *
 * Not the paper's positions: there keys are rotated anew at every step for their index in the cache, which is what lets generation
 * run past the trained length. Here keys keep their rotation (as kvpress and KVCache-Factory), so this works inside that length.
 */
export const streaming: Method<typeof params> = defineMethod({
  name: 'streaming',
  axes: ['budget', 'score', 'select'],
  paper: { title: 'Efficient Streaming Language Models with Attention Sinks', arxiv: '2309.17453', year: 2023 },
  summary: 'The first few tokens and the newest ones stay.',
  params,
  create: ({ budget, sinks }) => ({
    score: newestFirst(sinks),
    select: sinksAndNewest(sinks),
    ...(budget ? { budget: uniform(budget) } : { fallback: { budget: uniform({ tokens: sinks + 512 }) } }),
  }),
})

function newestFirst(sinks: number): Scorer {
  return {
    needs: {},
    moments: ['prefill', 'decode'],
    score: (_seen, { rows, positions }) =>
      protectSinks(
        Float32Array.from({ length: rows }, (_, i) => i),
        sinks,
        positions,
      ),
  }
}

function sinksAndNewest(sinks: number): Selector {
  return {
    select(_scores, rows, head) {
      const kept = new Uint32Array(Math.min(rows, head.rows))
      let first = 0
      while (first < kept.length - 1 && head.positions[first] < sinks) kept[first] = first++
      for (let i = first; i < kept.length; i++) kept[i] = head.rows - kept.length + i
      return kept
    },
  }
}
