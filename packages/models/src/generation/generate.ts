import { createRandom } from '@kvfold/kv-core'
import type { LlamaModel, ForwardOptions } from '../decoder/model.ts'
import type { SequenceCache } from '../decoder/sequence-cache.ts'
import { ModelInputError } from '../errors.ts'
import { checkSampling, sample, type SamplingOptions } from './sample.ts'

export interface GenerateOptions {
  /** Most new tokens. */
  maxTokens: number
  /** Greedy by default. */
  sampling?: SamplingOptions
  /** Tokens that end the text; the one that did is not yielded. Default: the model's own. */
  stop?: readonly number[]
  /** Also yield the logits that each token was drawn from. Default false. */
  logits?: boolean
  /** Looked at between layers, chunks and steps. */
  signal?: AbortSignal
  /** Prefill chunk and progress: see `forward`. */
  chunk?: number
  onProgress?: ForwardOptions['onProgress']
}

export interface GeneratedToken {
  token: number
  /** [vocabulary], with `logits: true`. */
  logits?: Float32Array
}

/** Why the text ended: a stop token, `maxTokens`, or the model's last position. */
export type FinishReason = 'stop' | 'length' | 'context'

/**
 * Feeds `tokens` (the prompt, or what follows the cache) and yields new tokens; returns why it ended. The last token
 * yielded is not in the cache yet. Throws what `forward` throws, ModelInputError on bad options, and the signal's reason.
 */
export async function* generate(
  model: LlamaModel,
  cache: SequenceCache,
  tokens: ArrayLike<number>,
  options: GenerateOptions,
): AsyncGenerator<GeneratedToken, FinishReason, undefined> {
  const { maxTokens, sampling = {}, stop = model.config.eos, signal, chunk, onProgress } = options
  if (!Number.isInteger(maxTokens) || maxTokens < 0)
    throw new ModelInputError(`maxTokens is ${maxTokens}: give a whole number of at least 0.`)
  checkSampling(sampling)
  const random = createRandom(sampling.seed ?? 0)
  if (maxTokens === 0) return 'length'

  let logits = await model.forward(tokens, cache, { signal, chunk, onProgress })
  for (let made = 1; ; made++) {
    const token = sample(logits, sampling, random)
    if (stop.includes(token)) return 'stop'
    yield options.logits ? { token, logits } : { token }
    if (made === maxTokens) return 'length'
    if ((cache.position ?? cache.length) >= model.maxPositions) return 'context'
    signal?.throwIfAborted()
    logits = await model.forward([token], cache, { signal })
  }
}
