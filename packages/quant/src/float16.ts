import { defineMethod, type Method, raw16 } from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject<{ residual: z.ZodDefault<z.ZodNumber> }> = z.object({
  residual: z.number().int().min(0).default(0).describe('newest rows that stay in float32'),
})

/**
 * Keys (rotated) and values in float16, as most runtimes store them on a GPU (no paper): half of float32's bytes, and what other methods of this
 * kind are compared with. A number is off by 2^-11 of itself at most, below 2^-14 by 2^-25; beyond 65,504 it is cut off. Each row is packed
 * after its own step: a prompt reads itself in float32, a step its own row.
 *
 * Default: `residual` 0, since a runtime that stores halves stores nothing else.
 */
export const float16: Method<typeof params> = defineMethod({
  name: 'float16',
  axes: ['encode'],
  summary: 'Keys and values in float16, as most runtimes store them.',
  params,
  create: ({ residual }) => {
    const rule = { keep: residual, step: 1 }
    return { encode: { classes: [{ name: 'float16', keys: raw16, values: raw16 }], flush: { keys: rule, values: rule } } }
  },
})
