import { defineMethod, type Method } from '@kvfold/kv-core'
import { z } from 'zod'
import { symmetric } from './symmetric.ts'

const params: z.ZodObject<{ residual: z.ZodDefault<z.ZodNumber> }> = z.object({
  residual: z.number().int().min(0).default(0).describe('newest rows that stay unpacked'),
})

/**
 * The 4-bit cache of llama.cpp, type q4_0 (no paper; github ggml-org/ggml): of 32 consecutive channels of a token, the number m farthest
 * from zero gives d = -m / 8, negative where m is positive; code = min(15, floor(x / d + 8.5)), x' = (code - 8) * d. So m itself and
 * zeros come back exactly (as far as float16 holds d), and a number is off by |m| / 16, or by |m| / 8 where it nears -m, for which there is
 * no code. Keys (rotated) and values alike, each row packed after its own step.
 *
 * Numbers read back are q4_0's to the bit: codes are made with d before it is rounded to float16.
 *
 * Default: `residual` 0, as there; other methods' tails are float32, so it is here.
 *
 * Deviations: a block takes 20 bytes, not 18 (5 bits a number, not 4.5), since the kernels' layout also has a minimum: -8 * d, which
 * float16 holds exactly. Nibbles and scales lie in the kernels' order. Newer llama.cpp rotates queries, keys and values by a Hadamard matrix
 * before; this is the plain type.
 */
export const int4: Method<typeof params> = defineMethod({
  name: 'int4',
  axes: ['encode'],
  summary: 'Keys and values in 4 bits around zero, a scale for 32 channels of a token (q4_0 of llama.cpp).',
  params,
  create: ({ residual }) => {
    const codec = symmetric(
      'q4_0',
      4,
      (farthest) => farthest / -8,
      (x) => Math.min(15, Math.floor(Math.fround(x + 8.5))),
    )
    const rule = { keep: residual, step: 1 }
    return { encode: { classes: [{ name: 'int4', keys: codec, values: codec }], flush: { keys: rule, values: rule } } }
  },
})
