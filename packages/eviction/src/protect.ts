import { defineMethod, type Method } from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject<{ sinks: z.ZodDefault<z.ZodNumber>; recent: z.ZodDefault<z.ZodNumber> }> = z.object({
  sinks: z.number().int().min(0).default(4).describe('first tokens that always stay'),
  recent: z.number().int().min(0).default(32).describe('newest rows that always stay; part of the budget'),
})

/**
 * Sinks and recent rows that stay whatever their scores are, for any method that protects none itself (`keydiff`, `knorm`, `tova`,
 * `expected-attention`). If a budget is smaller than what is protected, the newest of it stays.
 */
export const protect: Method<typeof params> = defineMethod({
  name: 'protect',
  axes: ['protect'],
  summary: 'The first tokens and the newest rows stay, whatever their scores are.',
  params,
  create: ({ sinks, recent }) => ({ protect: { sinks, recent } }),
})
