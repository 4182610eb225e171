import { budgetParam, defineMethod, highestScores, protectRecent, uniform, type Method } from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  chunk: z.ZodDefault<z.ZodNumber>
  stabilizers: z.ZodOptional<z.ZodNumber>
  local: z.ZodOptional<z.ZodNumber>
  contiguous: z.ZodDefault<z.ZodBoolean>
}> = z.object({
  budget: budgetParam.optional(),
  chunk: z.number().int().min(1).default(1024).describe('tokens of a prompt that are read at a time'),
  stabilizers: z
    .number()
    .int()
    .min(0)
    .optional()
    .describe('newest rows that stay while chunks follow; default: 0.4 of the budget, at most 2500'),
  local: z
    .number()
    .int()
    .min(0)
    .optional()
    .describe('newest rows that stay when the prompt ends; default: a quarter of the budget, at most 100'),
  contiguous: z.boolean().default(false).describe('rows that stay move up to positions 0, 1, 2, ..., as in the code; not over packed rows'),
})

/**
 * Locret: Enhancing Eviction in Long-Context LLM Inference with Trained Retaining Heads (arXiv 2410.01805). A small network per layer,
 * trained with the model frozen, predicts from a token's own query, key and value how strongly later queries will look at it: one score per
 * KV head that never changes. A prompt is read in chunks; after each the best rows of every head stay, with the newest `stabilizers` as long
 * as chunks follow. So the peak is budget + chunk rows, however long the prompt. Generated rows never leave.
 *
 * Needs a model that comes with retaining heads (the reference model does; `tooling/reference-model/locret.py` trains them). Defaults:
 * 6,000 rows, as the library function, chunks of 1,024, as its Llama script; stabilizers 2,500 and local rows 100, as both, but at most two
 * fifths and a quarter of the budget. The code appends the local rows to the budget, and numbers kept rows 0, 1, 2, ...: `contiguous`.
 */
export const locret: Method<typeof params> = defineMethod({
  name: 'locret',
  axes: ['budget', 'score'],
  paper: {
    title: 'Locret: Enhancing Eviction in Long-Context LLM Inference with Trained Retaining Heads on Consumer-Grade Devices',
    arxiv: '2410.01805',
    year: 2024,
  },
  summary: 'Trained heads score each row when it comes; a prompt is read in chunks.',
  params,
  create: ({ budget, chunk, stabilizers, local, contiguous }) => {
    const size = budget ?? { tokens: 6000 }
    // The newest rows must not crowd out the best ones of a small budget.
    const within = (most: number, share: number, seen: number): number =>
      'bytes' in size ? most : Math.min(most, Math.floor(share * ('tokens' in size ? size.tokens : size.ratio * seen)))
    return {
      score: {
        needs: { retaining: true },
        // The column keeps the scores: what protects a row now must not protect it for good.
        score: ({ more }, head) =>
          protectRecent(
            head.column('retaining').slice(),
            more ? (stabilizers ?? within(2500, 0.4, head.seen)) : (local ?? within(100, 0.25, head.seen)),
          ),
      },
      ...(budget && { budget: uniform(size) }),
      fallback: { budget: uniform(size), trigger: { chunk }, select: { ...highestScores, contiguous } },
    }
  },
})
