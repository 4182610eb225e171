import { affine, defineMethod, type Method } from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject<{
  bits: z.ZodDefault<z.ZodLiteral<2 | 4 | 8>>
  group: z.ZodDefault<z.ZodLiteral<16 | 32 | 64>>
  residual: z.ZodDefault<z.ZodNumber>
}> = z.object({
  bits: z.literal([2, 4, 8]).default(4).describe('bits per number, of keys and values'),
  group: z.literal([16, 32, 64]).default(64).describe('channels of a token that share a scale; divides headDim'),
  residual: z.number().int().min(0).default(0).describe('newest rows that stay unpacked'),
})

/**
 * The group-wise quantisation of FlexGen: High-Throughput Generative Inference of Large Language Models with a Single GPU (arXiv
 * 2303.06865), the 4-bit cache that eviction papers put on top of theirs (Scissorhands). Keys (rotated) and values alike: `group`
 * consecutive channels of a token share a minimum and a step = (max - min) / (2^bits - 1), code = round((x - min) / step). Both are
 * float16: a number costs bits + 32 / group bits, so that 4 bits of a head of 128 take 72 bytes where float16 takes 256: 3.56 times less,
 * not 4.
 *
 * Every row is packed as it comes, after its own step: a prompt reads itself unpacked, a step its own row. `residual` newest rows may stay
 * unpacked, as other methods have it; FlexGen keeps none.
 *
 * Defaults: 4 bits, groups of 64 (FlexGen's own; a head that 64 does not divide needs 32 or 16). 2 and 8 bits are the codec's.
 *
 * Deviations: FlexGen keeps the inverse of the step; here it is the step, rounded to float16. A constant group gets step 0 and codes 0
 * (its code divides by zero). Halves round to even, as torch does.
 */
export const flexgen: Method<typeof params> = defineMethod({
  name: 'flexgen',
  axes: ['encode'],
  paper: {
    title: 'FlexGen: High-Throughput Generative Inference of Large Language Models with a Single GPU',
    arxiv: '2303.06865',
    year: 2023,
  },
  summary: 'Keys and values in 4 bits, a scale for each group of a token’s channels.',
  params,
  create: ({ bits, group, residual }) => {
    const codec = affine({ bits, axis: 'token', group })
    const rule = { keep: residual, step: 1 }
    return {
      encode: {
        classes: [{ name: 'flexgen', keys: codec, values: codec }],
        flush: { keys: rule, values: rule },
      },
    }
  },
})
