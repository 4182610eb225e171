import { defineMethod, type Method } from '@kvfold/kv-core'
import { z } from 'zod'
import { gearCodec } from './gear-codec.ts'

const params: z.ZodObject<{
  bits: z.ZodDefault<z.ZodLiteral<2 | 4 | 8>>
  group: z.ZodDefault<z.ZodLiteral<16 | 32 | 64>>
  rank: z.ZodDefault<z.ZodNumber>
  outliers: z.ZodDefault<z.ZodNumber>
  gap: z.ZodDefault<z.ZodNumber>
  loops: z.ZodDefault<z.ZodNumber>
}> = z.object({
  bits: z.literal([2, 4, 8]).default(2).describe('bits per number of the codes'),
  group: z.literal([16, 32, 64]).default(64).describe('channels of a value that share a scale; divides headDim'),
  rank: z.number().int().min(0).max(16).default(2).describe('of the matrices that repair what codes miss; 0: none'),
  outliers: z.number().min(0).max(0.2).default(0.02).describe('share of the numbers that are kept as they are; 0: none (GEAR-L)'),
  gap: z
    .number()
    .int()
    .min(8)
    .max(64)
    .default(64)
    .describe('rows that are packed together; new ones wait unpacked until there are as many'),
  loops: z.number().int().min(1).default(3).describe('of the power iteration'),
})

/**
 * GEAR: An Efficient KV Cache Compression Recipe for Near-Lossless Generative Inference of LLM (arXiv 2403.05527). A block of rows is a sum:
 * codes of few bits as in KIVI (keys with a scale per channel, values with one per token and group), a product of two thin matrices per head
 * that comes near what the codes miss, and a few outliers as they are: the largest and the smallest numbers of every key channel and of
 * every value. A block is packed once, as soon as `gap` rows are there, and not touched again.
 *
 * Defaults: 2 bits, groups of 64, 2 % outliers, 3 loops, and rank 2 for blocks of 64, the paper's for generated ones.
 *
 * Deviations. A prompt is packed as blocks of `gap` rows, since a page holds no more: the paper takes it as one block, of rank 4, and leaves
 * no tail unpacked. A vector has at least one outlier of each kind, so 2 % of 64 rows are 3 % (and vectors are a head's, not those
 * of all heads). Outliers take no part in their group's scale and are read back as they are; the paper puts zeros in their
 * places, which widens the range of a channel that is far from zero (its code takes the mean), and adds the three terms. The start of the
 * iteration is seeded. All but codes is float16.
 *
 * Cost: no kernel reads it; each step decodes all packed rows into scratch.
 */
export const gear: Method<typeof params> = defineMethod({
  name: 'gear',
  axes: ['encode'],
  paper: {
    title: 'GEAR: An Efficient KV Cache Compression Recipe for Near-Lossless Generative Inference of LLM',
    arxiv: '2403.05527',
    year: 2024,
  },
  summary: 'Codes of 2 bits, what they miss as a product of thin matrices, and a few outliers.',
  params,
  create: ({ gap, ...options }) => {
    const codec = (axis: 'channel' | 'token') => gearCodec({ ...options, axis, rows: gap })
    const rule = { keep: 0, step: gap }
    return {
      encode: {
        classes: [{ name: 'gear', keys: codec('channel'), values: codec('token') }],
        flush: { keys: rule, values: rule },
      },
    }
  },
})
