import { budgetParam, defineMethod, protectSinks, uniform, type Method, type Scorer, type Selector } from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  sinks: z.ZodDefault<z.ZodNumber>
  contiguous: z.ZodDefault<z.ZodBoolean>
}> = z.object({
  budget: budgetParam.optional(),
  sinks: z.number().int().min(0).default(4).describe('first tokens that always stay'),
  contiguous: z.boolean().default(false).describe("the paper's positions: 0, 1, 2, ... in the cache; not over packed rows"),
})

/**
 * Efficient Streaming Language Models with Attention Sinks (StreamingLLM, arXiv 2309.17453): the first `sinks` tokens and the
 * newest ones stay, the same rows in every layer and head, at the end of the prompt and after every step. Looks at nothing.
 *
 * Defaults: 4 sinks and 512 recent rows, as the official class. A budget of no more than `sinks` rows keeps the first budget - 1
 * tokens and the newest.
 *
 * `contiguous` is the paper's defining part: keys are rotated for their index in the cache, so no distance exceeds the budget and a
 * sequence may run past the trained length. The official class rotates all keys anew at every step; here those that moved are turned on, which
 * comes to the same. Off by default, as in kvpress and KVCache-Factory: keys keep their rotation, and may be packed.
 */
export const streaming: Method<typeof params> = defineMethod({
  name: 'streaming',
  axes: ['budget', 'score', 'select'],
  paper: { title: 'Efficient Streaming Language Models with Attention Sinks', arxiv: '2309.17453', year: 2023 },
  summary: 'The first few tokens and the newest ones stay.',
  params,
  create: ({ budget, sinks, contiguous }) => ({
    score: newestFirst(sinks),
    select: { ...sinksAndNewest(sinks), contiguous },
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
