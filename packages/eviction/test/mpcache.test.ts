import { mpcache } from '@kvfold/eviction'
import type { CacheShape } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { describe, expect, it } from 'vitest'
import { cacheUnder, keptPositions, noted, randomTensors } from './in-cache.ts'
import { excess, softmax } from './support.ts'

const shape: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 16, rope: 'external' }

/** What the authors' code computes: softmax without scale or mask of the last fifth's queries, the mean over heads, the most over queries. */
function plain(n: number, seed: number, queries: number[]): Float64Array {
  const { q, k } = randomTensors(shape, n, seed)
  const most = new Float64Array(n)
  for (const query of queries) {
    const mean = new Float64Array(n)
    for (let h = 0; h < 4; h++) {
      const logits = Float64Array.from({ length: n }, (_, j) => {
        let dot = 0
        for (let c = 0; c < 16; c++) dot += q.data[(h * n + query) * 16 + c] * k.data[((h >> 1) * n + j) * 16 + c]
        return dot
      })
      softmax(logits).forEach((p, j) => (mean[j] += p / 4))
    }
    mean.forEach((p, j) => (most[j] = Math.max(most[j], p)))
  }
  return most
}

it.each([1, 6, 97])('scores are those of the definition, for a prompt of %i', async (n) => {
  const scores: Float32Array[] = []
  // `noted` listens to `score`, so the layer's heads are asked one by one: each alone with its own queries.
  const own = mpcache({ budget: 5, sample: 10_000 })
  const { scoreLayer } = own.score!
  const preset = noted(own, [])
  preset.score!.scoreLayer = (seen, heads) => {
    const all = scoreLayer!(seen, heads)
    scores.push(...all.map((one) => one.slice()))
    return all
  }
  const cache = cacheUnder(shape, preset)
  await cache.layer(0).attend(randomTensors(shape, n, 9))
  const looking = Math.max(1, Math.floor(n * 0.2))
  const expected = plain(
    n,
    9,
    Array.from({ length: looking }, (_, i) => n - 1 - i),
  )
  expect(excess(scores[0], expected, 1e-4, 1e-6)).toBeLessThanOrEqual(0)
  expect(scores[1]).toEqual(scores[0])
  if (n > 5) expect(keptPositions(cache, 0)[1]).toEqual(keptPositions(cache, 0)[0])
  await cache.dispose()
})

it('takes a sample of the last part, evenly, the newest query always', async () => {
  const scores: Float32Array[] = []
  const own = mpcache({ budget: 50, sample: 5 })
  const { scoreLayer } = own.score!
  const preset = noted(own, [])
  preset.score!.scoreLayer = (seen, heads) => {
    const all = scoreLayer!(seen, heads)
    scores.push(all[0].slice())
    return all
  }
  const cache = cacheUnder(shape, preset)
  await cache.layer(0).attend(randomTensors(shape, 100, 9))
  expect(excess(scores[0], plain(100, 9, [99, 95, 91, 87, 83]), 1e-4, 1e-6)).toBeLessThanOrEqual(0)
  await cache.dispose()
})

testMethod('mpcache', () => [mpcache({ budget: 40 })], { describe, it })
