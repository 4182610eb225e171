import { defineMethod, type Method } from '@kvfold/kv-core'
import { z } from 'zod'
import { PAPER, xquantEncoder } from './xquant-encoder.ts'

const params: z.ZodObject<{ bits: z.ZodDefault<z.ZodLiteral<2 | 4 | 8>> }> = z.object({
  bits: z.literal([2, 4, 8]).default(4).describe('bits per number of what is packed'),
})

/**
 * XQuant: Breaking the Memory Wall for LLM Inference with KV Cache Rematerialization (arXiv 2508.10395). Keys and values are not stored; they are
 * computed anew at every step from the layer's input X, which is. With grouped-query attention X has more numbers than they have, and then X U_k
 * and X U_v are packed, from the thin decompositions W_k = U_k S_k B_k^T and W_v = U_v S_v B_v^T of the weights: as many numbers as keys and values,
 * but of falling size, so that few bits lose less. X U_k has scales per channel and 64 tokens, X U_v per token. Where a layer has as many KV
 * heads as query heads, X itself is packed, per token: half of what keys and values would take. Up to 63 new rows wait unpacked.
 *
 * The cache must be given its `model`, whose weights are decomposed at the first prompt (about a second for 30 layers of 576; once per model).
 * Keys come unrotated; biases are taken off before and put back after. No row may leave: each belongs to all heads.
 *
 * Defaults: 4 bits.
 *
 * Deviations: groups of 64 tokens and of a head's channels where the paper has 128 (0.5 bits of overhead, not 0.25); 3 bits are not offered; the
 * option of a first channel in float16 is not either. X is not seen, but found from keys and values: exactly, with the inverse of what makes them
 * of it. Rows that wait are keys and values. A prompt attends to what it will be packed from, not to what comes back of it.
 *
 * Cost: a step multiplies all packed rows anew, 4 l (kvHeads headDim)^2 operations a layer at l rows, into scratch of one layer's keys and values.
 * There is no official code: this follows the paper's text.
 */
export const xquant: Method<typeof params> = defineMethod({
  name: 'xquant',
  axes: ['encode'],
  paper: PAPER,
  summary: "Packs what keys and values are made of, a layer's input, and makes them anew at every step.",
  params,
  create: ({ bits }) => ({ encode: xquantEncoder('xquant', () => bits, Infinity) }),
})
