import { accumulatedAttention, budgetParam, defineMethod, heavyAndRecent, uniform, type Method } from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  recent: z.ZodDefault<z.ZodNumber>
  group: z.ZodDefault<z.ZodLiteral<'mean' | 'first'>>
}> = z.object({
  budget: budgetParam.optional(),
  recent: z.number().min(0).max(1).default(0.5).describe('share of the budget for the newest rows; the rest goes to heavy hitters'),
  group: z.literal(['mean', 'first']).default('mean').describe('query heads of one KV head that count'),
})

/**
 * H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language Models (arXiv 2306.14048). A row's score is all
 * attention that it ever received: column sums over the prompt's queries [group][rows], then each step's row of attention added.
 * The sum (float32, column `accumulated`) moves with the row and is never reset or divided, so old rows are favoured: that is the
 * method. The newest `recent` share of the budget stays, the rest is filled with the highest sums among older rows. Rows leave at
 * the end of the prompt and after every step; the step itself still attends over budget + 1 rows.
 *
 * Defaults: half heavy, half recent (paper), 20 % of the tokens seen when a prompt ends (0.1 + 0.1 in the official scripts); rows
 * stay as many while tokens are generated. `recent` is rounded to whole rows. Keys keep their rotation (the official default; its
 * streaming mode re-rotates).
 *
 * Official code: of its variants this is the real-drop one, layer by layer and head by head; it knows no grouped queries. Here the
 * group's mean counts (as in kvpress and KVCache-Factory), or the group's first head (llama-cookbook).
 */
export const h2o: Method<typeof params> = defineMethod({
  name: 'h2o',
  axes: ['budget', 'score'],
  paper: {
    title: 'H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language Models',
    arxiv: '2306.14048',
    year: 2023,
  },
  summary: 'Rows that collected the most attention so far stay, and the newest ones.',
  params,
  create: ({ budget, recent, group }) => ({
    score: accumulatedAttention('h2o', group),
    ...(budget && { budget: uniform(budget) }),
    fallback: { budget: uniform({ ratio: 0.2 }), select: heavyAndRecent(recent) },
  }),
})
