import { dispose, randomNormal, type Tensor, type Tensor3D } from '@tensorflow/tfjs-core'
import { KvCache, type Policy } from '@kvfold/kv-core'
import { DEFAULT_CHUNK } from '@kvfold/models'
import type { Loaded } from '../load.ts'

/** A cache of random rows. */
export interface Filled {
  cache: KvCache
  /** A decode step of all layers, without what a model does beside it. */
  step(): Promise<void>
  dispose(): Promise<void>
}

export async function filled({ model, kernels }: Loaded, policy: Policy, rows: number): Promise<Filled> {
  const { shape } = model
  const { layers } = shape
  const cache = new KvCache(shape, { policy, kernels, model })
  // As many at once as of a model's prompt: that decides how pages lie.
  for (let done = 0; done < rows; done += DEFAULT_CHUNK) {
    const input = tokens(shape, Math.min(DEFAULT_CHUNK, rows - done))
    for (let layer = 0; layer < layers; layer++) await attend(cache, layer, input)
    dispose(Object.values(input))
  }
  const one = tokens(shape, 1)
  return {
    cache,
    async step() {
      for (let layer = 0; layer < layers; layer++) await attend(cache, layer, one)
    },
    async dispose() {
      dispose(Object.values(one))
      await cache.dispose()
    },
  }
}

type Tokens = Record<'q' | 'k' | 'v', Tensor>

/** Some tokens, of which only the last one asks. */
function tokens({ queryHeads, kvHeads, headDim }: KvCache['shape'], n: number): Tokens {
  return {
    q: randomNormal([queryHeads, 1, headDim]),
    k: randomNormal([kvHeads, n, headDim]),
    v: randomNormal([kvHeads, n, headDim]),
  }
}

async function attend(cache: KvCache, layer: number, input: Tokens): Promise<void> {
  const out = await cache.layer(layer).attend(input)
  dispose(out as Tensor3D)
}
