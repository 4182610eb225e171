import { dispose } from '@tensorflow/tfjs-core'
import { DisposedError } from '@kvfold/kv-core'
import type { ModelConfig } from '../config/model-config.ts'
import type { Weights } from '../weights/weights.ts'
import { embeddingOf, loadEmbedding, type Embedding } from './embedding.ts'
import { disposeLayer, loadLayer, type Layer } from './layer.ts'
import { disposeLinear, type Linear } from './linear.ts'
import { linearOf, loadLinear, loadVector } from './load-linear.ts'
import type { LoadProgress } from './load-progress.ts'
import { createNorm, normTensors, type Norm } from './norm.ts'
import { loadRetainingHead } from './retaining-heads.ts'
import { modelKernels } from './model-kernels.ts'

/** All parameters of a model. */
export interface Parameters {
  embedding: Embedding
  norm: Norm
  layers: Layer[]
  head: Linear
}

/** Loads everything, part by part; frees what it has if a part is bad. */
export async function loadParameters(
  config: ModelConfig,
  weights: Weights,
  progress: LoadProgress = {},
  retaining?: Weights,
): Promise<Parameters> {
  const { width, vocabulary, normEpsilon } = config
  const parameters: Partial<Parameters> & { layers: Layer[] } = { layers: [] }
  const total = config.layers + 2
  const step = (done: number): void => {
    progress.onProgress?.({ done, total })
    progress.signal?.throwIfAborted()
  }
  try {
    const tensors = modelKernels()
    const kernels = tensors && { tensors, products: progress.kernels ?? tensors }
    parameters.norm = createNorm(width, normEpsilon, tensors)
    const embedding = await loadEmbedding(weights, vocabulary, width)
    parameters.embedding = embedding
    step(1)
    for (let i = 0; i < config.layers; i++) {
      const layer = await loadLayer(weights, config, i, parameters.norm, kernels)
      parameters.layers.push(layer)
      if (retaining) layer.retaining = await loadRetainingHead(retaining, config, i)
      step(i + 2)
    }
    const gain = await loadVector(weights, 'model.norm.weight', width)
    if (config.tiedEmbeddings) {
      parameters.head = linearOf(embedding.rows, width, vocabulary, kernels, gain)
      parameters.embedding = embeddingOf(parameters.head) ?? embedding
    } else parameters.head = await loadLinear(weights, 'lm_head', width, vocabulary, kernels, gain)
    step(total)
    return parameters as Parameters
  } catch (error) {
    free(parameters)
    throw error
  }
}

// Beside the model and not in it: the model's declared type then names no tfjs type.
const PARAMETERS = new WeakMap<object, Parameters>()

export function attachParameters(model: object, parameters: Parameters): void {
  PARAMETERS.set(model, parameters)
}

/** A model's parameters. Throws DisposedError after `dispose`. */
export function parametersOf(model: object): Parameters {
  const found = PARAMETERS.get(model)
  if (!found) throw new DisposedError('The model was disposed: load it again.')
  return found
}

/** Frees a model's tensors; a second call does nothing. */
export function disposeParameters(model: object): void {
  const found = PARAMETERS.get(model)
  if (found) free(found)
  PARAMETERS.delete(model)
}

function free({ norm, layers = [], head }: Partial<Parameters>): void {
  if (norm) dispose(normTensors(norm))
  layers.forEach(disposeLayer)
  if (head) disposeLinear(head)
}
