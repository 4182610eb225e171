import { KvCache, type Calibration, type LayerCache } from '@kvfold/kv-core'
import { calibrateLayer } from '@kvfold/quant'
import type { Loaded } from './load.ts'

/** Tokens whose keys and values are looked at, evenly spaced among those read, so that a large model's fit in memory. */
const LOOKED_AT = 4096

export interface CalibrateOptions {
  /** Token sequences, each read alone. */
  texts: readonly number[][]
  onProgress?: (progress: { done: number; total: number }) => void
}

/** Lets a model read texts, and finds what KVQuant must know of its keys and values, layer by layer. */
export async function calibrateModel({ model, kernels }: Loaded, { texts, onProgress }: CalibrateOptions): Promise<Calibration[]> {
  const { layers, kvHeads, headDim } = model.shape
  const channels = kvHeads * headDim
  const total = texts.reduce((sum, { length }) => sum + length, 0)
  const every = Math.max(1, Math.ceil(total / LOOKED_AT))
  const samples = Array.from({ length: layers }, () => ({ keys: [] as Float32Array[], values: [] as Float32Array[] }))
  let done = 0
  for (const tokens of texts) {
    const cache = new KvCache(model.shape, { kernels })
    const watched = {
      get length() {
        return cache.length
      },
      layer: (index: number): LayerCache => ({
        promptQueries: cache.layer(index).promptQueries,
        async attend(input) {
          for (const [part, tensor] of [
            ['keys', input.k],
            ['values', input.v],
          ] as const) {
            const { address, release } = await kernels.borrow(tensor)
            const x = kernels.heap.f32.subarray(address >> 2, (address >> 2) + tensor.shape.reduce((a, b) => a * b))
            samples[index][part].push(sampled(x, tensor.shape[1], kvHeads, headDim, every))
            release()
          }
          return cache.layer(index).attend(input)
        },
      }),
    }
    try {
      const before = done
      await model.forward(tokens, watched, {
        logits: 'none',
        onProgress: (progress) => onProgress?.({ done: before + (progress.done / progress.total) * tokens.length, total }),
      })
      done += tokens.length
    } finally {
      await cache.dispose()
    }
  }
  return samples.map(({ keys, values }) => calibrateLayer(joined(keys), joined(values), channels, headDim))
}

/** Every so many tokens of [heads][n][headDim], as [tokens][heads * headDim]. */
function sampled(x: Float32Array, n: number, heads: number, headDim: number, every: number): Float32Array {
  const tokens = Math.ceil(n / every)
  const out = new Float32Array(tokens * heads * headDim)
  for (let i = 0; i < tokens; i++)
    for (let h = 0; h < heads; h++) {
      const from = (h * n + i * every) * headDim
      out.set(x.subarray(from, from + headDim), (i * heads + h) * headDim)
    }
  return out
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}
