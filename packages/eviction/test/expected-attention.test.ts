import { expectedAttention } from '@kvfold/eviction'
import type { CacheShape, HeadView, Observation } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cholesky } from '../src/cholesky.ts'
import { cacheUnder, keptPositions, noted, tensorOf } from './in-cache.ts'
import { excess, headOf, readGolden } from './support.ts'

it('the worked example: what the spread of queries may look at counts', () => {
  // Mean query (1, 0), covariance diag(0, 1), frequency 0: nothing is rotated.
  const moments = { count: 1, sum: Float64Array.of(1, 0), gram: Float64Array.of(1, 0, 0, 1) }
  const keys = Float32Array.of(1, 0, 0, 1, -1, 0)
  const view: HeadView = {
    ...headOf(3, undefined, {}, keys),
    rope: { theta: 1e4, scaling: { type: 'linear', factor: 1e12 } },
    values: () => Float32Array.of(1, 0, 3, 0, 0, 1),
    logits: (queries, count) =>
      Float32Array.from({ length: count * 3 }, (_, i) => {
        const q = Math.floor(i / 3) * 2
        return (queries[q] * keys[(i % 3) * 2] + queries[q + 1] * keys[(i % 3) * 2 + 1]) * Math.SQRT1_2
      }),
  }
  const seen: Observation = { moment: 'prefill', group: 1, queryMoments: moments }
  const scores = expectedAttention({ sinks: 0 }).score!.score(seen, view)
  expect(excess(scores, [0.532984, 1.012317, 0.129577], 0, 1e-6)).toBeLessThanOrEqual(0)
})

describe('NVIDIA/kvpress', () => {
  const golden = readGolden('kvpress_more')
  const shape: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 16, rope: { theta: 1e4 } }
  it.each([
    ['expected_attention', {}],
    ['expected_attention_mean_only', { covariance: false }],
    ['expected_attention_eps', { future: 32, epsilon: 0.02 }],
    ['expected_attention_novnorm', { values: false }],
  ])('%s: the same scores and rows', async (id, options) => {
    for (const layer of [0, 1]) {
      const inputs = readGolden(`kvpress_inputs_l${layer}`)
      const scores: Float32Array[] = []
      const cache = cacheUnder(shape, noted(expectedAttention({ ...options, budget: 48 }), scores))
      await cache.layer(0).attend({ q: tensorOf(inputs['q_pre']), k: tensorOf(inputs['k_pre']), v: tensorOf(inputs['v']) })
      const kept = keptPositions(cache, 0)
      for (const head of [0, 1]) {
        const theirs = golden[`${id}.l${layer}/scores`].data.subarray(head * 96 + 4, (head + 1) * 96)
        expect(excess(scores[head].subarray(4), theirs, 1e-4, 1e-6)).toBeLessThanOrEqual(0)
        expect(kept[head]).toEqual([...golden[`${id}.l${layer}/kept_sorted`].data.subarray(head * 48, (head + 1) * 48)])
      }
      await cache.dispose()
    }
  })
})

it('the Cholesky factor gives the matrix back, a singular one too', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 0, max: 12 }),
      fc.infiniteStream(fc.double({ min: -3, max: 3, noNaN: true })),
      (n, rank, draws) => {
        const a = new Float64Array(n * n)
        for (let r = 0; r < rank; r++) {
          const x = Float64Array.from({ length: n }, () => draws.next().value!)
          for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) a[i * n + j] += x[i] * x[j]
        }
        const factor = cholesky(a, n)
        const scale = Math.max(1e-300, ...a.map(Math.abs))
        for (let i = 0; i < n; i++) {
          for (let j = 0; j < n; j++) {
            let sum = 0
            for (let k = 0; k < n; k++) sum += factor[i * n + k] * factor[j * n + k]
            expect(Math.abs(sum - a[i * n + j]) / scale).toBeLessThan(1e-10)
          }
        }
      },
    ),
    { numRuns: 1000 },
  )
})

testMethod('expected-attention', () => [expectedAttention({ budget: 40 })], { describe, it })
testMethod('expected-attention, mean only', () => [expectedAttention({ covariance: false, values: false })], { describe, it })
