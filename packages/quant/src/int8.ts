import { defineMethod, type Method } from '@kvfold/kv-core'
import { z } from 'zod'
import { symmetric } from './symmetric.ts'

const params: z.ZodObject<{ residual: z.ZodDefault<z.ZodNumber> }> = z.object({
  residual: z.number().int().min(0).default(0).describe('newest rows that stay unpacked'),
})

/**
 * The 8-bit cache of llama.cpp, type q8_0 (no paper; github ggml-org/ggml): 32 consecutive channels of a token share d = max |x| / 127,
 * code = round(x / d), x' = code * d. Keys (rotated) and values alike, each row packed after its own step: a prompt reads itself unpacked, a
 * step its own row.
 *
 * Numbers read back are q8_0's to the bit: d is rounded to float16 for storing, and codes are made with the unrounded one, halves away from
 * zero. A number is off by max |x| / 254 at most, and by the rounding of d.
 *
 * Default: `residual` 0, as there; other methods' tails are float32, so it is here.
 *
 * Deviations: a block takes 36 bytes, not 34 (9 bits a number, not 8.5), since the kernels' layout also has a minimum: -128 * d, which
 * float16 holds exactly. Nibbles and scales lie in the kernels' order. Beyond 64,990 numbers are cut off. Newer llama.cpp rotates
 * queries, keys and values by a Hadamard matrix before; this is the plain type.
 */
export const int8: Method<typeof params> = defineMethod({
  name: 'int8',
  axes: ['encode'],
  summary: 'Keys and values in 8 bits around zero, a scale for 32 channels of a token (q8_0 of llama.cpp).',
  params,
  create: ({ residual }) => {
    const codec = symmetric(
      'q8_0',
      8,
      (farthest) => Math.abs(farthest) / 127,
      (x) => Math.sign(x) * Math.floor(Math.abs(x) + 0.5) + 128,
    )
    const rule = { keep: residual, step: 1 }
    return { encode: { classes: [{ name: 'int8', keys: codec, values: codec }], flush: { keys: rule, values: rule } } }
  },
})
