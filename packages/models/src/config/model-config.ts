import type { CacheShape, RopeSpec } from '@kvfold/kv-core'
import { ModelFormatError, UnsupportedModelError } from '../errors.ts'

/** What the decoder must know of a Llama-family model, whatever file it came from. */
export interface ModelConfig {
  architecture: Architecture
  layers: number
  /** Width of the residual stream. */
  width: number
  /** Width of the gated feed-forward part. */
  feedForward: number
  queryHeads: number
  kvHeads: number
  headDim: number
  vocabulary: number
  /** Longest sequence, in tokens. */
  maxPositions: number
  normEpsilon: number
  rope: Exclude<RopeSpec, 'external'>
  /** The output head is the embedding table. */
  tiedEmbeddings: boolean
  /** Per-head RMS norms on queries and keys (Qwen3). */
  queryKeyNorm: boolean
  /** Token ids, where the file says. `eos` may be several. */
  bos?: number
  eos: readonly number[]
}

export const ARCHITECTURES = ['llama', 'mistral', 'qwen2', 'qwen3'] as const
export type Architecture = (typeof ARCHITECTURES)[number]

/** Throws UnsupportedModelError on an architecture that this decoder does not run. */
export function checkArchitecture(name: unknown): Architecture {
  const found = ARCHITECTURES.find((known) => known === name)
  if (!found) throw new UnsupportedModelError(`Architecture '${String(name)}' is not supported: use one of ${ARCHITECTURES.join(', ')}.`)
  return found
}

/** Throws ModelFormatError if the numbers cannot belong to one model. */
export function checkConfig(config: ModelConfig): ModelConfig {
  const { queryHeads, kvHeads, headDim } = config
  if (queryHeads % kvHeads !== 0)
    throw new ModelFormatError(`${queryHeads} query heads do not divide into ${kvHeads} KV heads: check the model's config.`)
  if (headDim % 2 !== 0)
    throw new ModelFormatError(`The head size is ${headDim}: rotary positions need an even one, check the model's config.`)
  return config
}

/** The cache shape of a model. */
export function cacheShape(config: ModelConfig): CacheShape {
  const { layers, queryHeads, kvHeads, headDim, rope } = config
  return { layers, queryHeads, kvHeads, headDim, rope }
}
