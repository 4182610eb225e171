import { accumulatedAttention, affine, type Codec, defineMethod, type Encoder, type Method, raw32, topRows } from '@kvfold/kv-core'
import { z } from 'zod'
import { keepAll } from './keep-all.ts'

const params: z.ZodObject<{
  important: z.ZodDefault<z.ZodNumber>
  high: z.ZodDefault<z.ZodLiteral<4 | 8 | 32>>
  low: z.ZodDefault<z.ZodLiteral<2 | 4 | 8>>
  group: z.ZodDefault<z.ZodLiteral<16 | 32 | 64>>
  balance: z.ZodDefault<z.ZodBoolean>
  step: z.ZodDefault<z.ZodNumber>
}> = z.object({
  important: z.number().min(0).max(1).default(0.2).describe('share of the rows that stay in high precision, half of them the newest'),
  high: z.literal([4, 8, 32]).default(8).describe('bits per number of important rows; 32: unpacked'),
  low: z.literal([2, 4, 8]).default(2).describe('bits per number of the others'),
  group: z.literal([16, 32, 64]).default(32).describe('channels of a token that share a scale: half a head, or a part of that'),
  balance: z.boolean().default(true).describe('divide channels of keys in low precision by a scale of their own first'),
  step: z.number().int().min(1).max(64).default(64).describe('rows that leave high precision together while tokens are generated'),
})

/**
 * MiKV: No Token Left Behind: Reliable KV Cache Compression via Importance-Aware Mixed Precision Quantization (arXiv 2402.18096). Rows that
 * an eviction method would drop are kept in few bits; the important ones stay in high precision. As H2O has it, those are half the
 * newest and half the rows that collected the most attention. Numbers are rounded to code * step + minimum, with a step and a minimum
 * (float16) for each group of a token's channels; keys' channels are balanced before, since large ones would take a group's range.
 *
 * The share counts all rows of the head so far. A prompt is divided when it ends; later, rows of least importance go to low
 * precision as soon as `step` are too many, and never come back. Another method's scores take the place of H2O's
 * (`snapkv(budget=100%) + mikv`), and a row that has none counts as unimportant once it is not among the newest.
 *
 * Defaults: 20 % important, 2 bits for the others, as in the paper's headline; 8 bits for the important ones, which it found as good as 16
 * (here unpacked rows take 32). Its groups are half a head: 32 for heads of 64, 64 for heads of 128.
 *
 * Deviations. The balancer of the paper is sqrt(max |q| / max |k|) of a channel over the prompt, and queries are divided by it; here it is
 * 1 / sqrt(max |k|) over the rows of a page, and keys are multiplied back: queries are unknown where rows are packed, and pages outlive
 * prompts. Three bits are not offered. A row that is demoted from 8 or 4 bits is rounded twice. The paper's text was not at hand: this
 * follows a description of it and of its measurements.
 */
export const mikv: Method<typeof params> = defineMethod({
  name: 'mikv',
  axes: ['encode'],
  paper: {
    title: 'No Token Left Behind: Reliable KV Cache Compression via Importance-Aware Mixed Precision Quantization',
    arxiv: '2402.18096',
    year: 2024,
  },
  summary: 'Important rows in high precision, the others in low: none is lost.',
  params,
  create: (options) => ({ encode: encoder(options), fallback: { score: accumulatedAttention('mikv'), budget: keepAll } }),
})

function encoder({ important, high, low, group, balance, step }: z.output<typeof params>): Encoder {
  const plain = (bits: 2 | 4 | 8 | 32): Codec => (bits === 32 ? raw32 : affine({ bits, axis: 'token', group }))
  const rule = { keep: 0, step: 1 }
  return {
    classes: [
      { name: 'important', keys: plain(high), values: plain(high) },
      { name: 'others', keys: affine({ bits: low, axis: 'token', group, factors: balance }), values: plain(low) },
    ],
    flush: { keys: rule, values: rule },
    moments: ['prefill', 'decode'],
    assign(kept, scores, { moved }, moment) {
      const rows = kept.length
      const stay = Math.floor(important * rows)
      const classes = new Uint8Array(rows)
      if (rows - moved < stay + (moment === 'prefill' ? 1 : step)) return classes
      const newest = Math.floor(stay / 2)
      classes.fill(1, moved, rows - newest)
      for (const row of topRows(scores!.subarray(moved, rows - newest), stay - newest)) classes[moved + row] = 0
      return classes
    },
  }
}
