import { ownHeap, referenceKernels, type ArrayTensor } from '@kvfold/kernels'
import { compose, createRandom, defineMethod, KvCache, protectRecent, uniform, type CacheShape, type Tier } from '@kvfold/kv-core'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { randomInputs, relativeError, type Inputs } from './plain-attention.ts'
import { average, away, largest, MapTier, packed } from './toy-methods.ts'

const shape: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 32, rope: { theta: 1e4 } }

const tensors = ({ q, k, v, n }: Inputs): Record<'q' | 'k' | 'v', ArrayTensor> => {
  const tensor = (data: Float32Array): ArrayTensor => ({
    shape: [data.length / n / shape.headDim, n, shape.headDim],
    dtype: 'float32',
    data,
  })
  return { q: tensor(q), k: tensor(k), v: tensor(v) }
}

/** Keeps the rows that the newest row's key looks at most, and the newest eight. */
const alike = defineMethod({
  name: 'alike',
  axes: ['budget', 'score'],
  summary: 'keys like the newest',
  params: z.object({}),
  create: () => ({
    budget: uniform({ tokens: 150 }),
    score: {
      needs: { keys: true },
      moments: ['prefill', 'decode'],
      score: (_, head) => protectRecent(head.attention(head.keys().slice(-head.headDim), 1), 8),
    },
  }),
})

describe('pages that are away', () => {
  it.each([
    ['kept by score', () => [largest({ budget: 150 })]],
    ['kept by score and packed', () => [largest({ budget: 150 }), packed()]],
    ['kept by attention', () => [alike()]],
    // Packed keys shrink where rows leave, and stay; values are laid anew, and their full pages leave.
    ['kept by attention and packed', () => [alike(), packed()]],
    ['folded', () => [largest({ budget: 150 }), average()]],
  ])('change neither what is kept nor what comes out: %s', async (_, make) => {
    const random = createRandom(11)
    const kernels = referenceKernels(ownHeap())
    const near = new KvCache(shape, { policy: compose(...make()), kernels, trace: true })
    const far = new KvCache(shape, { policy: compose(...make(), away({ later: true })), kernels, trace: true })
    for (const n of [200, ...Array.from({ length: 20 }, () => 1), 90, 1, 1]) {
      const inputs = randomInputs(shape, n, random)
      const a = (await near.layer(0).attend(tensors(inputs))) as ArrayTensor,
        b = (await far.layer(0).attend(tensors(inputs))) as ArrayTensor
      expect(relativeError(b.data, a.data)).toBeLessThan(1e-5)
    }
    expect(far.ledger().tiers['map']).toBeGreaterThan(0)
    expect(far.ledger().bytes).toBeLessThan(near.ledger().bytes)
    expect(far.trace!.plans.map((plan) => plan.heads.map((head) => [...head.keep]))).toEqual(
      near.trace!.plans.map((plan) => plan.heads.map((head) => [...head.keep])),
    )
    await near.dispose()
    await far.dispose()
  })

  it('a tier that fails to read leaves the cache as it was, and the call can be made again', async () => {
    let broken = false
    class Flaky extends MapTier implements Tier {
      override get(key: number, into: Uint8Array): void | Promise<void> {
        if (broken) throw new Error('the disk is gone')
        return super.get(key, into)
      }
    }
    const flaky = defineMethod({
      name: 'flaky',
      axes: ['place'],
      summary: 'fails',
      params: z.object({}),
      create: () => ({ place: { open: () => new Flaky(false), leaves: (page) => page.newer >= 20 } }),
    })
    const heap = ownHeap()
    const kernels = referenceKernels(heap)
    const cache = new KvCache(shape, { policy: compose(flaky()), kernels })
    const twin = new KvCache(shape, { kernels })
    const random = createRandom(3)
    const prompt = randomInputs(shape, 200, random),
      next = randomInputs(shape, 3, random)
    await cache.layer(0).attend(tensors(prompt))
    await twin.layer(0).attend(tensors(prompt))
    const { rows, seen, tiers } = cache.ledger()
    broken = true
    await expect(cache.layer(0).attend(tensors(next))).rejects.toThrow(/disk is gone/)
    expect(cache.ledger()).toMatchObject({ rows, seen, tiers })
    broken = false
    const a = (await cache.layer(0).attend(tensors(next))) as ArrayTensor,
      b = (await twin.layer(0).attend(tensors(next))) as ArrayTensor
    expect(relativeError(a.data, b.data)).toBeLessThan(1e-5)
    await cache.dispose()
    await twin.dispose()
    expect(heap.live).toBe(0)
  })
})
