import { ownHeap, wasmKernels } from '@kvfold/kernels'
import { compose, createRandom, KvCache, type CacheShape, type Preset } from '@kvfold/kv-core'
import { expect, it } from 'vitest'
import { randomInputs } from './plain-attention.ts'
import { average, away, largest, packed } from './toy-methods.ts'

const shape: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 32, rope: { theta: 1e4 } }

it.each<[string, () => Preset[]]>([
  ['rows leave', () => [largest({ budget: 100 })]],
  ['rows leave, are folded and packed', () => [largest({ budget: 100 }), average(), packed({ residual: 16 })]],
  ['rows leave, are packed, and pages are away', () => [largest({ budget: 100 }), packed({ residual: 16 }), away()]],
])('memory is flat over a thousand decode steps at a fixed budget: %s', async (_, make) => {
  const kernels = wasmKernels(ownHeap())
  const cache = new KvCache(shape, { policy: compose(...make()), kernels })
  const random = createRandom(2)
  const step = async (n: number): Promise<void> => {
    const { q, k, v } = randomInputs(shape, n, random)
    const tensor = (data: Float32Array): object => ({ shape: [data.length / n / shape.headDim, n, shape.headDim], dtype: 'float32', data })
    await cache.layer(0).attend({ q: tensor(q), k: tensor(k), v: tensor(v) } as never)
  }
  await step(300)
  const held: number[] = []
  for (let i = 0; i < 1000; i++) {
    await step(1)
    held.push(cache.ledger().bytes + Object.values(cache.ledger().tiers).reduce((a, b) => a + b, 0))
  }
  const most = (from: number, to: number): number => Math.max(...held.slice(from, to))
  // The first hundred steps fill the unpacked tails. Packed groups that lose rows keep their scales, so a little is lost until that evens out;
  // one row more at every step would be ten times as much.
  expect(most(550, 1000)).toBeLessThanOrEqual(most(100, 550) * 1.15)
  expect(cache.ledger().rows).toBe(200)
  await cache.dispose()
  expect(kernels.heap.live).toBe(0)
})
