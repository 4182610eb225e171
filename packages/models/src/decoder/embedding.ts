import { tensor2d, type Tensor2D } from '@tensorflow/tfjs-core'
import type { Rows, Weights } from '../weights/weights.ts'
import { readWeightRow } from '@kvfold/kernels'
import { isPacked, type Linear } from './linear.ts'
import { need } from './load-linear.ts'

/**
 * The embedding table, kept as its file stores it (half or a quarter of float32) outside of tfjs: a lookup decodes only the
 * rows that are asked for, which is cheaper than a gather over a float32 table and holds no second copy of a tied head.
 */
export interface Embedding {
  rows: Pick<Rows, 'read'>
  width: number
}

/** The table as its file has it; a tied head is made of the same rows. */
export async function loadEmbedding(weights: Weights, vocabulary: number, width: number): Promise<Embedding & { rows: Rows }> {
  return { rows: await need(weights, 'model.embed_tokens.weight', [vocabulary, width]).load(), width }
}

/** The table that a tied head holds anyway, if it holds it as the file does. */
export function embeddingOf({ weight, inputs, kernels }: Linear): Embedding | undefined {
  if (!isPacked(weight)) return undefined
  return { rows: { read: (index, into, at) => readWeightRow(kernels!.heap, weight, index, into, at) }, width: inputs }
}

/** Tokens -> [n, width]. */
export function embed({ rows, width }: Embedding, tokens: ArrayLike<number>): Tensor2D {
  const values = new Float32Array(tokens.length * width)
  for (let i = 0; i < tokens.length; i++) rows.read(tokens[i], values, i * width)
  return tensor2d(values, [tokens.length, width])
}
