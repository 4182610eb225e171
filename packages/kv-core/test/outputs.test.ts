import { createKernels, type ArrayTensor } from '@kvfold/kernels'
import {
  compose,
  createRandom,
  defineMethod,
  KvCache,
  ShapeError,
  uniform,
  type CacheShape,
  type Needs,
  type Observation,
} from '@kvfold/kv-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'

const shape: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 16, rope: { theta: 1e4 } }

function tensors(n: number, seed: number): { q: ArrayTensor; k: ArrayTensor; v: ArrayTensor } {
  const random = createRandom(seed)
  const tensor = (heads: number): ArrayTensor => ({
    shape: [heads, n, 16],
    dtype: 'float32',
    data: Float32Array.from({ length: heads * n * 16 }, () => random() * 4 - 2),
  })
  return { q: tensor(4), k: tensor(2), v: tensor(2) }
}

/** Keeps the newest rows, and notes what it was shown. */
function noting(needs: Needs, chunk: number | undefined, seen: Observation[]) {
  const method = defineMethod({
    name: 'noting',
    axes: ['score', 'budget', 'trigger'],
    summary: 'notes',
    params: z.object({}),
    create: () => ({
      score: {
        needs,
        score: (one, { rows }) => {
          seen.push(one)
          return Float32Array.from({ length: rows }, (_, i) => i)
        },
      },
      budget: uniform({ tokens: 20 }),
      trigger: { chunk },
    }),
  })
  return compose(method())
}

const lastRows = ({ data }: ArrayTensor, n: number, count: number): number[] =>
  [0, 1, 2, 3].flatMap((h) => [...data.subarray((h * n + n - count) * 16, (h + 1) * n * 16)])

describe('outputs of the last queries only', () => {
  const needs: Needs[] = [{}, { windowAttention: 5 }, { queries: true }, { queryMoments: 3 }, { columnSums: true }]
  it('are those of a whole call, and the policy sees the same', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 60 }),
        fc.nat(),
        fc.constantFrom(...needs),
        fc.constantFrom(undefined, 7, 16),
        fc.integer(),
        async (n, draw, need, chunk, seed) => {
          const outputs = 1 + (draw % n)
          const kernels = createKernels(),
            before = kernels.heap.live
          const whole: Observation[] = [],
            part: Observation[] = []
          const a = new KvCache(shape, { policy: noting(need, chunk, whole), kernels }),
            b = new KvCache(shape, { policy: noting(need, chunk, part), kernels })
          const all = (await a.layer(0).attend(tensors(n, seed))) as ArrayTensor
          const some = (await b.layer(0).attend({ ...tensors(n, seed), outputs })) as ArrayTensor
          expect(some.shape).toEqual([4, outputs, 16])
          const expected = lastRows(all, n, outputs)
          some.data.forEach((value, i) => expect(Math.abs(value - expected[i])).toBeLessThan(1e-5))
          expect(part.map(({ more }) => more)).toEqual(whole.map(({ more }) => more))
          part.forEach((one, i) => expect(one.queries?.data).toEqual(whole[i].queries?.data))
          part.forEach((one, i) => expect(one.queryMoments).toEqual(whole[i].queryMoments))
          for (const cache of [a, b]) await cache.dispose()
          expect(kernels.heap.live).toBe(before)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('are at least one, at most all', async () => {
    const cache = new KvCache(shape)
    for (const outputs of [0, 9, 1.5, NaN]) await expect(cache.layer(0).attend({ ...tensors(8, 1), outputs })).rejects.toThrow(ShapeError)
    expect(cache.length).toBe(0)
    await cache.dispose()
  })
})
