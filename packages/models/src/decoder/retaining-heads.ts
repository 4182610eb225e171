import { add, matMul, mul, sigmoid, split, type Tensor2D, transpose } from '@tensorflow/tfjs-core'
import type { FileSet } from '../files/file-source.ts'
import { openSafetensorsFiles } from '../weights/safetensors.ts'
import type { Weights } from '../weights/weights.ts'
import type { ModelConfig } from '../config/model-config.ts'
import { need, transposed } from './load-linear.ts'

/** Where a model keeps its retaining heads. */
const RETAINING_HEADS = 'retaining-heads.safetensors'

/**
 * A layer's retaining head (Locret, arXiv 2410.01805): silu([q, k, v] W1) W2, from a token's own queries, keys and values before rotation, to
 * one score per KV head. W1 [(queryHeads + 2 kvHeads) * headDim, hidden], W2 [hidden, kvHeads].
 */
export interface RetainingHead {
  /** W1, cut into what meets queries, keys and values. */
  query: Tensor2D
  key: Tensor2D
  value: Tensor2D
  score: Tensor2D
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
  const load = async (name: string, inputs: number, outputs: number): Promise<Tensor2D> =>
    transposed(await need(weights, `${at}.${name}.weight`, [outputs, inputs]).load(), inputs, outputs)
  const weight = await load('w1', (queryHeads + 2 * kvHeads) * headDim, width)
  const cuts = [queryHeads, kvHeads, kvHeads].map((heads) => heads * headDim)
  const [query, key, value] = split(weight, cuts) as Tensor2D[]
  weight.dispose()
  return { query, key, value, score: await load('w2', width, kvHeads) }
}

/** q [n, queryHeads * headDim], k and v [n, kvHeads * headDim] -> [kvHeads, n]. Inside a tidy. */
export function retainingScores({ query, key, value, score }: RetainingHead, q: Tensor2D, k: Tensor2D, v: Tensor2D): Tensor2D {
  const hidden = add(add(matMul(q, query), matMul(k, key)), matMul(v, value)) as Tensor2D
  return transpose(matMul(mul(hidden, sigmoid(hidden)) as Tensor2D, score))
}
