import { budgetParam, createRandom, defineMethod, uniform, type Method } from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject<{ budget: z.ZodOptional<typeof budgetParam>; seed: z.ZodDefault<z.ZodNumber> }> = z.object({
  budget: budgetParam.optional(),
  seed: z.number().int().min(0).default(0).describe('the same rows stay for the same seed'),
})

/**
 * The control of every comparison: at the end of a prompt rows stay at random, each layer and head its own. A method that is no better
 * looks at nothing that matters. Default: half of the tokens seen, seed 0.
 */
export const random: Method<typeof params> = defineMethod({
  name: 'random',
  axes: ['budget', 'score'],
  summary: 'Rows stay at random: the control.',
  params,
  create: ({ budget, seed }) => ({
    score: {
      needs: {},
      score: (_seen, { layer, head, rows, seen }) => {
        const draw = createRandom(((seed * 1009 + layer) * 1013 + head) * 1019 + seen)
        return Float32Array.from({ length: rows }, draw)
      },
    },
    ...(budget ? { budget: uniform(budget) } : { fallback: { budget: uniform({ ratio: 0.5 }) } }),
  }),
})
