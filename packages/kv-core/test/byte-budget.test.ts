import { createKernels } from '@kvfold/kernels'
import {
  BudgetError,
  compose,
  createRandom,
  defineMethod,
  KvCache,
  protectRecent,
  uniform,
  type CacheShape,
  type Preset,
} from '@kvfold/kv-core'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { randomInputs } from './plain-attention.ts'
import { packed } from './toy-methods.ts'

const shape: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 32, rope: { theta: 1e4 } }

/** Random rows stay, and the newest eight: the worst for pages. */
const random = defineMethod({
  name: 'random',
  axes: ['budget', 'score'],
  summary: 'random rows',
  params: z.object({ bytes: z.number() }),
  create: ({ bytes }) => {
    const draw = createRandom(1)
    return {
      budget: uniform({ bytes }),
      score: { needs: {}, score: (_, head) => protectRecent(Float32Array.from({ length: head.rows }, draw), 8) },
    }
  },
})

async function bytesAfter(n: number, ...presets: Preset[]): Promise<{ bytes: number; rows: number }> {
  const cache = new KvCache(shape, { policy: compose(...presets), kernels: createKernels() })
  const { q, k, v } = randomInputs(shape, n, createRandom(2))
  const tensor = (data: Float32Array): object => ({ shape: [data.length / n / shape.headDim, n, shape.headDim], dtype: 'float32', data })
  for (const layer of [0, 1]) await cache.layer(layer).attend({ q: tensor(q), k: tensor(k), v: tensor(v) } as never)
  const { bytes, rows } = cache.ledger()
  await cache.dispose()
  return { bytes, rows }
}

describe('a budget in bytes', () => {
  it.each([40_000, 100_000, 250_000, 400_000])('%i: holds after the prompt, and most of it is used', async (budget) => {
    for (const presets of [[random({ bytes: budget })], [random({ bytes: budget }), packed({ bits: 4 })]]) {
      const { bytes, rows } = await bytesAfter(1000, ...presets)
      expect(bytes).toBeLessThanOrEqual(budget)
      if (rows < 4000) expect(bytes).toBeGreaterThan(0.65 * budget)
    }
  })

  it('that holds no row is refused', async () => {
    await expect(bytesAfter(100, random({ bytes: 1000 }))).rejects.toThrow(BudgetError)
  })
})
