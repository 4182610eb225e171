import {
  defineMethod,
  type HeadPlace,
  type Method,
  type ModelParts,
  PAGE_ROWS,
  type StorageClass,
  UnsupportedPolicyError,
} from '@kvfold/kv-core'
import { z } from 'zod'
import { kvquantKeys, kvquantValues } from './kvquant-codec.ts'

const params: z.ZodObject<{ bits: z.ZodDefault<z.ZodLiteral<2 | 3 | 4>> }> = z.object({
  bits: z.literal([2, 3, 4]).default(3).describe('bits per number'),
})

/**
 * KVQuant: Towards 10 Million Context Length LLM Inference with KV Cache Quantization (arXiv 2401.18079), nuq with 1 % outliers. Keys are packed
 * before their rotation, with a range per channel that was found in sample texts; values with a range per token. Numbers are rounded to 2^bits
 * levels that lie densely where numbers do, found by k-means in the same texts, a table per layer for keys and one for values. Outliers keep
 * their value: of keys what lies outside the channel's range (1 % of the texts' numbers), of values the largest and the smallest of a token.
 * Keys are packed 64 tokens at a time, so that up to 63 are unpacked.
 * With 2 bits, levels are read back stretched so that mean and deviation are the numbers' own (Q-Norm).
 *
 * The cache must be given its `model`, and that must have been calibrated (`kvfold calibrate`; the reference model was).
 *
 * Default: 3 bits.
 *
 * Deviations: k-means is not weighted by the loss's curvature (Fisher information), which needs gradients. Room for outliers
 * is fixed: of keys 2 % (0.64 bits a number, where a sparse matrix of 1 % takes about 0.3), of values 2 of a head's 64 numbers (0.75 bits).
 * Values have a range per head. The first tokens are packed like all others: their many outliers fit a page's room.
 *
 * Cost: no kernel reads it. Each step decodes all rows into scratch, and rotates the keys.
 */
export const kvquant: Method<typeof params> = defineMethod({
  name: 'kvquant',
  axes: ['encode'],
  paper: {
    title: 'KVQuant: Towards 10 Million Context Length LLM Inference with KV Cache Quantization',
    arxiv: '2401.18079',
    year: 2024,
  },
  summary: 'Unrotated keys and values rounded to levels that follow their density in sample texts, outliers as they are.',
  params,
  create: ({ bits }) => {
    // What stands for all heads' codecs where only their number counts.
    const levels = { choose: new Float32Array(2 ** bits), read: new Float32Array(2 ** bits) }
    const none = new Float32Array(0)
    const rule = { keep: 0, step: PAGE_ROWS }
    return {
      encode: {
        classes: [{ name: 'kvquant', keys: kvquantKeys(bits, levels, none, none), values: kvquantValues(bits, levels) }],
        classesOf: (place, model) => [calibrated(bits, place, model)],
        flush: { keys: rule, values: { keep: 0, step: 1 } },
      },
    }
  },
})

function calibrated(bits: 2 | 3 | 4, { layer, head, headDim }: HeadPlace, model: ModelParts): StorageClass {
  const found = model.calibration?.(layer)
  if (!found)
    throw new UnsupportedPolicyError(
      'kvquant packs keys in ranges that were found in sample texts: calibrate the model (`kvfold calibrate`), and give the cache its `model`.',
    )
  const own = (all: Float32Array): Float32Array => all.subarray(head * headDim, (head + 1) * headDim)
  return {
    name: 'kvquant',
    keys: kvquantKeys(bits, found.keyLevels[bits], own(found.keyLow), own(found.keyHigh)),
    values: kvquantValues(bits, found.valueLevels[bits]),
  }
}
