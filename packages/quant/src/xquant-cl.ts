import { defineMethod, type Method } from '@kvfold/kv-core'
import { z } from 'zod'
import { PAPER, xquantEncoder } from './xquant-encoder.ts'

/** Layers whose inputs are packed as they are. */
const BASE_LAYERS = 3
const BASE_BITS = 4

const params: z.ZodObject<{ bits: z.ZodDefault<z.ZodLiteral<2 | 4 | 8>> }> = z.object({
  bits: z.literal([2, 4, 8]).default(2).describe('bits per number of the differences between layers'),
})

/**
 * XQuant-CL, the cross-layer version of XQuant (arXiv 2508.10395). A layer's input is close to that of the layer before: from the fourth layer on
 * only the difference is packed, to the sum A of all that was packed before it, so that errors do not add up from layer to layer. Keys and values
 * are made of A anew at every step. With grouped-query attention the difference is packed as (X - A) U, from the thin decomposition
 * [W_k | W_v] = U S B^T; where a layer's input has no more numbers than its keys and values, as it is. Inputs are those after the norm, with
 * the norm's gain in the weights. The first three layers take 4 bits or more. Up to 63 new rows wait unpacked.
 *
 * The cache must be given its `model`, whose weights are decomposed at the first prompt, once per model. No row may leave.
 *
 * Defaults: 2 bits, as in the paper's tables.
 *
 * Deviations: groups of a head's channels, where the paper has 128 (0.5 bits of overhead at 64, not 0.25), per token; the paper leaves the axis and
 * what X is open. A is float32 between layers, not 4 bits: scratch of rows times inputs, gone when the step ends. X is not seen, but found from keys
 * and values: what they do not tell of it is taken for zero. A prompt attends to what it will be packed from. 3 bits are not offered.
 *
 * Cost: a step takes 8 l inputs (kvHeads headDim) operations a layer at l rows: this is for memory, not for speed. There is no official code:
 * a reconstruction from the paper's text.
 */
export const xquantCl: Method<typeof params> = defineMethod({
  name: 'xquant-cl',
  axes: ['encode'],
  paper: PAPER,
  summary: "Packs the difference of a layer's input to that of the layer before, and makes keys and values anew at every step.",
  params,
  create: ({ bits }) => ({
    encode: xquantEncoder('xquant-cl', (layer) => (layer < BASE_LAYERS && bits < BASE_BITS ? BASE_BITS : bits), BASE_LAYERS),
  }),
})
