import { tensor2d, type Tensor2D } from '@tensorflow/tfjs-core'
import type { Rows, Weights } from '../weights/weights.ts'
import { need } from './linear.ts'

/**
 * The embedding table, kept as its file stores it (half or a quarter of float32) outside of tfjs: a lookup decodes only the
 * rows that are asked for, which is cheaper than a gather over a float32 table and holds no second copy of a tied head.
 */
export interface Embedding {
  rows: Rows
  width: number
}

export async function loadEmbedding(weights: Weights, vocabulary: number, width: number): Promise<Embedding> {
  return { rows: await need(weights, 'model.embed_tokens.weight', [vocabulary, width]).load(), width }
}

/** Tokens -> [n, width]. */
export function embed({ rows, width }: Embedding, tokens: ArrayLike<number>): Tensor2D {
  const values = new Float32Array(tokens.length * width)
  for (let i = 0; i < tokens.length; i++) rows.read(tokens[i], values, i * width)
  return tensor2d(values, [tokens.length, width])
}
