import { add, matMul, mul, sigmoid, slice, type Tensor2D, transpose } from '@tensorflow/tfjs-core'
import type { FileSet } from '../files/file-source.ts'
import { openSafetensorsFiles } from '../weights/safetensors.ts'
import type { Weights } from '../weights/weights.ts'
import type { ModelConfig } from '../config/model-config.ts'
import { loadLinear, type Linear } from './linear.ts'

/** Where a model keeps its retaining heads. */
export const RETAINING_HEADS = 'retaining-heads.safetensors'

/**
 * A layer's retaining head (Locret, arXiv 2410.01805): silu([q, k, v] W1) W2, from a token's own queries, keys and values before rotation, to
 * one score per KV head. W1 [(queryHeads + 2 kvHeads) * headDim, hidden], W2 [hidden, kvHeads].
 */
export interface RetainingHead {
  hidden: Linear
  score: Linear
}

/** The weights of a model's retaining heads; undefined if it has none. The caller closes them. */
export async function openRetainingHeads(files: FileSet): Promise<Weights | undefined> {
  const file = await files.open(RETAINING_HEADS)
  if (!file) return undefined
  await file.close?.()
  return openSafetensorsFiles(files, [RETAINING_HEADS])
}

export async function loadRetainingHead(weights: Weights, config: ModelConfig, layer: number): Promise<RetainingHead> {
  const { queryHeads, kvHeads, headDim } = config
  const at = `layers.${layer}.retaining`
  const [width] = weights.find(`${at}.w1.weight`)?.shape ?? [0]
  return {
    hidden: await loadLinear(weights, `${at}.w1`, (queryHeads + 2 * kvHeads) * headDim, width),
    score: await loadLinear(weights, `${at}.w2`, width, kvHeads),
  }
}

/** q [n, queryHeads * headDim], k and v [n, kvHeads * headDim] -> [kvHeads, n]. Inside a tidy. */
export function retainingScores({ hidden, score }: RetainingHead, q: Tensor2D, k: Tensor2D, v: Tensor2D): Tensor2D {
  const parts = [q, k, v]
  let at = 0
  const products = parts.map((part) => {
    const rows = slice(hidden.weight, [at, 0], [part.shape[1], hidden.weight.shape[1]])
    at += part.shape[1]
    return matMul(part, rows)
  })
  const before = add(add(products[0], products[1]), products[2]) as Tensor2D
  return transpose(matMul(mul(before, sigmoid(before)) as Tensor2D, score.weight))
}
