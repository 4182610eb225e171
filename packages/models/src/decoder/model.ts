import { dispose, tidy, type Tensor2D } from '@tensorflow/tfjs-core'
import type { CacheShape, Calibration, ModelParts, Projections } from '@kvfold/kv-core'
import { cacheShape, type ModelConfig } from '../config/model-config.ts'
import type { Weights } from '../weights/weights.ts'
import { embed } from './embedding.ts'
import { checkChunk, checkInput } from './input.ts'
import { runLayer } from './layer.ts'
import type { LoadProgress } from './load-progress.ts'
import { modelFingerprint, sampleWeights } from './fingerprint.ts'
import { weightsOf } from './linear.ts'
import { headLogits, wantedRows } from './logits.ts'
import { attachParameters, disposeParameters, loadParameters, parametersOf } from './parameters.ts'
import { readAgain, type RepeatRequest } from './repeat.ts'
import type { SequenceCache } from './sequence-cache.ts'

/** Tokens per chunk of a prompt, unless said otherwise. */
export const DEFAULT_CHUNK = 2048

export interface ForwardOptions {
  /** Whose logits are returned: the last token's, all, none, or those of the last so many. Default 'last'. */
  logits?: 'last' | 'all' | 'none' | number
  /** Looked at between layers and chunks. After an abort the cache holds part of the prompt: dispose it. */
  signal?: AbortSignal
  /** Called after each chunk of each layer; `done` and `total` count tokens times layers. */
  onProgress?: (progress: { done: number; total: number }) => void
  /** Tokens per chunk. Default 2048. */
  chunk?: number
}

/** A Llama-family decoder whose attention is the cache's. Load one with `loadModelFiles` or, in Node, `loadModel`. */
export class LlamaModel implements ModelParts {
  readonly config: ModelConfig
  /** What a cache for this model must be built with. */
  readonly shape: CacheShape
  /** Tells this model from others, the same in Node and in a browser: a saved cache belongs to it. */
  readonly fingerprint: string
  /** How the model is asked to repeat a prompt, for policies that read it twice (`kvzip`). Loaders set it from the tokenizer. */
  repeat?: RepeatRequest
  /** What `kvfold calibrate` found, by layer, for policies that need it (`kvquant`). Loaders set it where there is a file. */
  calibrations?: readonly Calibration[]

  private constructor(config: ModelConfig, fingerprint: string) {
    this.config = config
    this.fingerprint = fingerprint
    this.shape = cacheShape(config)
  }

  /** Reads the weights, one at a time, into memory of the active backend; `retaining`: those of its retaining heads. Throws ModelFormatError, UnsupportedModelError. */
  static async load(config: ModelConfig, weights: Weights, progress?: LoadProgress, retaining?: Weights): Promise<LlamaModel> {
    const sample = sampleWeights(weights)
    const parameters = await loadParameters(config, sample.weights, progress, retaining)
    const model = new LlamaModel(config, modelFingerprint(config, sample.sum()))
    attachParameters(model, parameters)
    return model
  }

  get vocabulary(): number {
    return this.config.vocabulary
  }

  get maxPositions(): number {
    return this.config.maxPositions
  }

  /**
   * Feeds tokens after those that the cache has seen. Runs layer by layer, each over all chunks of the prompt, so that a
   * policy can compress a layer before the next one starts. Returns logits `[rows, vocabulary]`, row-major float32, with
   * rows as `options.logits` says (1 by default).
   *
   * If the policy reads prompts twice, the prompt is repeated after `repeat`, part by part, which takes as long again.
   *
   * Throws ModelInputError, ContextLengthError before the cache changes. After any later error the cache holds part of
   * the tokens: dispose it.
   */
  async forward(tokens: ArrayLike<number>, cache: SequenceCache, options: ForwardOptions = {}): Promise<Float32Array> {
    const logits = await this.read(tokens, cache, options)
    if (cache.unread && this.repeat) {
      const { signal, chunk, onProgress } = options
      const layers = this.config.layers
      const total = tokens.length * layers
      await readAgain(cache, tokens, this.repeat, this.maxPositions, (part, first) =>
        this.read(part, cache, {
          logits: 'none',
          signal,
          chunk,
          onProgress: ({ done }) => onProgress?.({ done: Math.min(total, first * layers + done), total }),
        }),
      )
    }
    return logits
  }

  private async read(tokens: ArrayLike<number>, cache: SequenceCache, options: ForwardOptions): Promise<Float32Array> {
    const parameters = parametersOf(this)
    const { embedding, layers } = parameters
    const { signal, onProgress } = options
    const chunk = checkChunk(options.chunk ?? DEFAULT_CHUNK)
    const wanted = wantedRows(options.logits ?? 'last', tokens.length)
    checkInput(tokens, cache.position ?? cache.length, this.vocabulary, this.maxPositions)
    signal?.throwIfAborted()

    const hidden: Tensor2D[] = []
    try {
      for (let start = 0; start < tokens.length; start += chunk)
        hidden.push(tidy(() => embed(embedding, Array.prototype.slice.call(tokens, start, start + chunk))))
      const total = tokens.length * layers.length
      let done = 0
      for (const [index, layer] of layers.entries()) {
        const layerCache = cache.layer(index)
        // After the last layer only some tokens' outputs are looked at; its keys and values are needed all the same.
        const last = index === layers.length - 1
        const outputs = last ? wanted : Infinity,
          queries = last ? Math.max(wanted, layerCache.promptQueries) : Infinity
        for (const [c, x] of hidden.entries()) {
          signal?.throwIfAborted()
          const [rows] = x.shape,
            after = tokens.length - c * chunk - rows
          const ofChunk = (count: number): number => Math.min(rows, Math.max(1, count - after))
          hidden[c] = await runLayer(layer, x, layerCache, c < hidden.length - 1, ofChunk(queries), ofChunk(outputs))
          x.dispose()
          done += rows
          onProgress?.({ done, total })
        }
      }
      return await headLogits(parameters, hidden, wanted, this.vocabulary)
    } finally {
      dispose(hidden)
    }
  }

  /** See `ModelParts`: undefined where keys are normalised after their projection (Qwen3). */
  projections(layer: number): Projections | undefined {
    const { key, value, heads } = parametersOf(this).layers[layer]
    if (heads) return undefined
    return {
      keys: weightsOf(key),
      values: weightsOf(value),
      ...(key.bias && { keyBias: key.bias.dataSync() as Float32Array }),
      ...(value.bias && { valueBias: value.bias.dataSync() as Float32Array }),
    }
  }

  /** See `ModelParts`: undefined unless the model was loaded with a calibration. */
  calibration(layer: number): Calibration | undefined {
    return this.calibrations?.[layer]
  }

  /** Frees the weights. */
  dispose(): void {
    disposeParameters(this)
  }
}
