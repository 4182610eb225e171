import { affine, defineMethod, type Method } from '@kvfold/kv-core'
import { z } from 'zod'

const GROUPS = [64, 32, 16] as const

const params: z.ZodObject<{
  bits: z.ZodDefault<z.ZodLiteral<2 | 4 | 8>>
  group: z.ZodOptional<z.ZodLiteral<16 | 32 | 64>>
  residual: z.ZodDefault<z.ZodNumber>
}> = z
  .object({
    bits: z.literal([2, 4, 8]).default(2).describe('bits per number, of keys and values'),
    group: z
      .literal([16, 32, 64])
      .optional()
      .describe('numbers that share a scale; divides residual and headDim; default: 64 tokens of a key channel, 32 channels of a value'),
    residual: z.number().int().min(16).default(128).describe('newest rows that stay unpacked; a multiple of group'),
  })
  .check(({ value, issues }) => {
    const { group, residual } = value
    if (group ? residual % group === 0 : GROUPS.some((size) => residual % size === 0)) return
    const message = `${residual} is not a multiple of ${group ?? 16}, and rows are packed a group at a time`
    issues.push({ code: 'custom', path: ['residual'], message, input: residual })
  })

/**
 * KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache (arXiv 2402.02750). Keys in `bits` bits with one scale per channel
 * and `group` consecutive tokens (a few key channels are large for all tokens, and keep that to themselves), values in `bits` bits
 * with one scale per token and `group` consecutive channels, and the newest rows in full precision. Code = round((x - min) / step),
 * step = (max - min) / (2^bits - 1); step and minimum are float16, so a number costs bits + 32 / group bits.
 *
 * Keys [rows][headDim], rotated, are packed `residual` at a time: 0 to residual - 1 are unpacked after a step. Values are packed
 * one by one: the newest `residual` are unpacked. The prompt's attention, and that of the step which fills the keys' tail, reads
 * unpacked rows.
 *
 * Defaults: 2 bits and residual 128, as in the paper's tables; with 4 bits and grouped-query attention the authors saw no loss. The
 * tables have groups of 32 (3 bits a number). Here that is the values' default, while keys take 64 (2.5 bits; 32 or 16 where 64 does
 * not divide residual): so a head of 64 takes less than 1/8 of float32 from about 4,000 tokens on, whatever the tails hold.
 *
 * Deviations: a constant group gets step 0 and codes 0 (the code divides by zero); tails are float32; groups of 128 are not offered
 * (a page holds 64 rows). 8 bits are the codec's, not the paper's.
 */
export const kivi: Method<typeof params> = defineMethod({
  name: 'kivi',
  axes: ['encode'],
  paper: { title: 'KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache', arxiv: '2402.02750', year: 2024 },
  summary: 'Keys in 2 bits per channel, values in 2 bits per token, the newest rows unpacked.',
  params,
  create: ({ bits, residual, group }) => {
    const tokens = group ?? GROUPS.find((size) => residual % size === 0) ?? 16
    const channels = group ?? Math.min(32, tokens)
    const keys = affine({ bits, axis: 'channel', group: tokens })
    const values = affine({ bits, axis: 'token', group: channels })
    return {
      encode: {
        classes: [{ name: 'kivi', keys, values }],
        flush: { keys: { keep: 0, step: residual }, values: { keep: residual, step: 1 } },
      },
    }
  },
})
