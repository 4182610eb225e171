import { defineMethod, type HeadPlace, type Method, type StorageClass } from '@kvfold/kv-core'
import { z } from 'zod'
import { binsCodec } from './cachegen-codec.ts'
import { deltaCodec, GROUP } from './cachegen-delta.ts'

const params: z.ZodObject<{
  level: z.ZodDefault<z.ZodLiteral<1 | 2 | 3>>
  delta: z.ZodDefault<z.ZodBoolean>
}> = z.object({
  level: z.literal([1, 2, 3]).default(2).describe('of quality: 1 is the smallest, 3 the nearest to the original'),
  delta: z.boolean().default(false).describe('differences to the first of every ten tokens, as in the paper; false: none, as in its code'),
})

/** Bins of keys and values: those of the first layers, and from which share of the depth on there are others. */
const LEVELS = {
  1: {
    keys: [
      [0, 16],
      [20 / 32, 12],
    ],
    values: [
      [0, 16],
      [2 / 32, 12],
    ],
  },
  2: {
    keys: [
      [0, 32],
      [10 / 32, 16],
    ],
    values: [
      [0, 32],
      [2 / 32, 16],
    ],
  },
  3: { keys: [[0, 32]], values: [[0, 32]] },
} as const

/** Widths of the deltas' bins, in the first, the middle and the last third of the layers. */
const WIDTHS = [0.5, 1, 1.5]

/**
 * CacheGen: KV Cache Compression and Streaming for Fast Large Language Model Serving (arXiv 2310.07240), its lossy part; `cachegenCoding` is the
 * lossless one, which a cache file needs to be small, and `chooseLevels` its streaming. Paper and published code differ; this is either.
 *
 * `delta` = false, the code: each token's numbers, keys (rotated) and values apart, in 31, 15 or 11 steps around zero of one scale, the largest
 * magnitude's. Finer in early layers: of keys 31 steps in the first 10 of 32 layers and 15 from there on, of values 31 in the first 2; level 1
 * has 15, and 11 in the last 12 of keys and all but 2 of values; level 3 has 31 everywhere. The kernels read them as they lie, and in memory they
 * take 4 bits, 31 steps 8.
 *
 * `delta` = true, the paper: of every ten tokens the first, the anchor, in 8 bits, the others as differences to it in bins that grow with depth,
 * 0.5, 1 and 1.5 by thirds. In memory that takes 8 bits, and every step decodes it: it is for files. It pays only where deltas vary less than
 * the numbers, which those of the reference model do not (README).
 *
 * Defaults: level 2, the code's.
 *
 * Deviations: a token's scale is a head's, not that of all heads; it is float16. Layers are shares of the depth, where the code counts those of
 * 32. Halves round up, not to even. The paper does not say what its bins are of nor whether differences are to the anchor as it was: here they
 * are of the difference's root mean square, with which normal numbers take about 3, 2.1 and 1.5 bits, and to the anchor as it is read back. The
 * paper has no levels: 1 and 3 have bins twice and half as wide. Ten tokens are ten rows as they are packed: where others left before, of those
 * that stayed. New rows are packed as they come (with `delta` ten at a time, so that 0 to 9 are unpacked), while there a cache is made once and
 * then grows unpacked.
 */
export const cachegen: Method<typeof params> = defineMethod({
  name: 'cachegen',
  axes: ['encode'],
  paper: {
    title: 'CacheGen: KV Cache Compression and Streaming for Fast Large Language Model Serving',
    arxiv: '2310.07240',
    year: 2024,
  },
  summary: 'Steps around zero that are finer in early layers; small in a cache file that is coded.',
  params,
  create: ({ level, delta }) => {
    const classesOf = ({ layer, layers, headDim }: HeadPlace): readonly StorageClass[] => {
      const depth = layer / layers
      const codec = (part: 'keys' | 'values'): StorageClass['keys'] =>
        delta
          ? deltaCodec(WIDTHS[Math.floor((3 * layer) / layers)] * 2 ** (2 - level))
          : binsCodec(LEVELS[level][part].findLast(([from]) => depth >= from)![1], headDim)
      return [{ name: 'cachegen', keys: codec('keys'), values: codec('values') }]
    }
    const rule = { keep: 0, step: delta ? GROUP : 1 }
    return {
      encode: {
        classes: classesOf({ layer: 0, head: 0, layers: 1, kvHeads: 1, headDim: 64 }),
        classesOf,
        flush: { keys: rule, values: rule },
      },
    }
  },
})
