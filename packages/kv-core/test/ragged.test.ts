import { createKernels } from '@kvfold/kernels'
import { compose, createRandom, defineMethod, KvCache, type CacheShape } from '@kvfold/kv-core'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { randomInputs } from './plain-attention.ts'

const shape: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 1e4 } }

/** As many newest rows per KV head as it says. */
const perHead = (rows: number[]): ReturnType<ReturnType<typeof defineMethod>> =>
  defineMethod({
    name: 'per-head',
    axes: ['budget', 'score'],
    summary: 'rows per head',
    params: z.object({}),
    create: () => ({
      budget: { size: { tokens: Math.max(...rows) }, allocate: (seen) => seen.map(() => rows) },
      score: { needs: { windowAttention: 20 }, score: (_, head) => head.positions.slice() },
    }),
  })()

async function run(n: number, rows: number[]): Promise<{ bytes: number; rows: number; notices: readonly string[] }> {
  const cache = new KvCache(shape, { policy: compose(perHead(rows)), kernels: createKernels() })
  const { q, k, v } = randomInputs(shape, n, createRandom(1))
  const tensor = (data: Float32Array): object => ({ shape: [data.length / n / shape.headDim, n, shape.headDim], dtype: 'float32', data })
  await cache.layer(0).attend({ q: tensor(q), k: tensor(k), v: tensor(v) } as never)
  const { bytes, rows: kept } = cache.ledger()
  const { notices } = cache
  await cache.dispose()
  return { bytes, rows: kept, notices }
}

it('a head with fewer rows holds fewer bytes', async () => {
  const even = await run(600, [320, 320]),
    ragged = await run(600, [320, 64])
  expect(even.rows).toBe(640)
  expect(ragged.rows).toBe(384)
  expect(ragged.bytes / even.bytes).toBeCloseTo(384 / 640, 1)
  expect(even.notices).toEqual([])
})

it('says so if a prompt is shorter than the window that a method looks at', async () => {
  const { notices, rows } = await run(12, [320, 320])
  expect(rows).toBe(24)
  expect(notices).toEqual([expect.stringContaining('this one had 12')])
})
