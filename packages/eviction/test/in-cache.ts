import { createKernels, type ArrayTensor } from '@kvfold/kernels'
import { compose, createRandom, KvCache, type CacheShape, type Preset, type Scorer } from '@kvfold/kv-core'
import type { Golden } from './support.ts'

/** [1][heads][n][headDim] or [heads][n][headDim] as a tensor. */
export function tensorOf({ shape, data }: Golden): ArrayTensor {
  return { shape: shape.slice(-3), dtype: 'float32', data: data as Float32Array }
}

export function randomTensors(shape: CacheShape, n: number, seed: number): Record<'q' | 'k' | 'v' | 'retaining', ArrayTensor> {
  const random = createRandom(seed)
  const tensor = (...size: number[]): ArrayTensor => ({
    shape: size,
    dtype: 'float32',
    data: Float32Array.from({ length: size.reduce((a, b) => a * b) }, () => random() * 4 - 2),
  })
  const { queryHeads, kvHeads, headDim } = shape
  return {
    q: tensor(queryHeads, n, headDim),
    k: tensor(kvHeads, n, headDim),
    v: tensor(kvHeads, n, headDim),
    retaining: tensor(kvHeads, n),
  }
}

/** A preset whose scores are noted, in order, as the cache asks for them. */
export function noted(preset: Preset, scores: Float32Array[]): Preset {
  const own = preset.score!
  const score: Scorer = {
    ...own,
    score: (seen, head) => {
      const result = own.score(seen, head)
      scores.push(result.slice())
      return result
    },
  }
  return { ...preset, score }
}

export function cacheUnder(shape: CacheShape, ...presets: Preset[]): KvCache {
  return new KvCache(shape, { policy: compose(...presets), kernels: createKernels(), trace: true })
}

/** Positions of the rows that each head of a layer kept at its last plan. */
export function keptPositions(cache: KvCache, layer: number): number[][] {
  const plan = cache.trace!.plans.findLast((one) => one.layer === layer)!
  return plan.heads.map(({ keep }, h) => Array.from(keep, (row) => plan.positions[h][row]))
}
