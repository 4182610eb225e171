import { defineMethod, type Method } from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject<{ chunk: z.ZodOptional<z.ZodNumber>; every: z.ZodOptional<z.ZodNumber> }> = z.object({
  chunk: z.number().int().min(1).optional().describe('rows leave after every so many tokens of a prompt too; default: when it ends'),
  every: z.number().int().min(1).optional().describe('rows leave after every so many decode steps; default: after each'),
})

/**
 * When rows leave, for any method that makes them leave. With `chunk`, a prompt is read in chunks of so many tokens, each chunk attends to
 * what the budget left of those before, and no layer ever holds more than budget + chunk rows: a bounded peak, for which later tokens pay,
 * since they cannot look at rows that are gone (kvpress and KeyDiff's paper: block-wise prefill). Scores see each chunk's queries alone.
 *
 * With `every`, the cache grows over the budget for so many steps and is cut then, all at once: fewer plans, and rows that are quiet
 * for a moment get time to speak again (LazyEviction's lag, over any scorer; kvpress cuts every 512 steps).
 */
export const trigger: Method<typeof params> = defineMethod({
  name: 'trigger',
  axes: ['trigger'],
  summary: 'When rows leave: after chunks of a prompt, after every few steps.',
  params,
  create: ({ chunk, every }) => ({ trigger: { chunk, every } }),
})
