import { ownHeap, referenceKernels, type ArrayTensor } from '@kvfold/kernels'
import { createRandom, KvCache, NotFiniteError, ShapeError, type CacheShape } from '@kvfold/kv-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PlainAttention, randomInputs, relativeError, type Inputs } from './plain-attention.ts'

const tensors = (shape: CacheShape, { q, k, v, n }: Inputs): { q: ArrayTensor; k: ArrayTensor; v: ArrayTensor } => ({
  q: { shape: [shape.queryHeads, n, shape.headDim], dtype: 'float32', data: q },
  k: { shape: [shape.kvHeads, n, shape.headDim], dtype: 'float32', data: k },
  v: { shape: [shape.kvHeads, n, shape.headDim], dtype: 'float32', data: v },
})

const shapes = fc
  .record({
    kvHeads: fc.integer({ min: 1, max: 3 }),
    group: fc.integer({ min: 1, max: 3 }),
    pairs: fc.constantFrom(8, 16, 24),
    external: fc.boolean(),
  })
  .map(({ kvHeads, group, pairs, external }): CacheShape => ({
    layers: 1,
    kvHeads,
    queryHeads: kvHeads * group,
    headDim: 2 * pairs,
    rope: external ? 'external' : { theta: 1e4 },
  }))

describe('the full cache', () => {
  it('attends like plain attention, however a sequence is cut into calls', async () => {
    await fc.assert(
      fc.asyncProperty(
        shapes,
        fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 5 }),
        fc.integer(),
        async (shape, cuts, seed) => {
          const random = createRandom(seed)
          const heap = ownHeap()
          const cache = new KvCache(shape, { kernels: referenceKernels(heap) })
          const plain = new PlainAttention(shape)
          for (const [i, n] of cuts.entries()) {
            const inputs = randomInputs(shape, n, random)
            const out = (await cache.layer(0).attend({ ...tensors(shape, inputs), more: i % 2 === 0 })) as ArrayTensor
            expect(relativeError(out.data, plain.attend(inputs))).toBeLessThan(1e-5)
            const { payload, scales, indices, scratch } = cache.ledger()
            expect(payload + scales + indices + scratch).toBe(heap.live)
          }
          await cache.dispose()
          expect(heap.live).toBe(0)
        },
      ),
      { numRuns: 40 },
    )
  })

  it('answers the last queries alone as it would answer all', async () => {
    await fc.assert(
      fc.asyncProperty(
        shapes,
        fc.array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 })), { minLength: 1, maxLength: 4 }),
        fc.integer(),
        async (shape, calls, seed) => {
          const random = createRandom(seed)
          const cache = new KvCache(shape, { kernels: referenceKernels(ownHeap()) })
          const plain = new PlainAttention(shape)
          const { queryHeads, headDim } = shape
          for (const [n, wanted] of calls) {
            const m = Math.min(n, wanted)
            const inputs = randomInputs(shape, n, random),
              all = plain.attend(inputs)
            const last = (data: Float32Array): Float32Array =>
              Float32Array.from({ length: queryHeads * m * headDim }, (_, i) => {
                const head = Math.floor(i / (m * headDim))
                return data[(head * n + n - m) * headDim + (i % (m * headDim))]
              })
            const out = (await cache.layer(0).attend({
              ...tensors(shape, inputs),
              q: { shape: [queryHeads, m, headDim], dtype: 'float32', data: last(inputs.q) } as ArrayTensor,
            })) as ArrayTensor
            expect(relativeError(out.data, last(all))).toBeLessThan(1e-5)
          }
          await cache.dispose()
        },
      ),
      { numRuns: 30 },
    )
  })

  it('forks without seeing the other side', async () => {
    const shape: CacheShape = { layers: 1, kvHeads: 2, queryHeads: 4, headDim: 16, rope: { theta: 1e4 } }
    const random = createRandom(5)
    const heap = ownHeap()
    const cache = new KvCache(shape, { kernels: referenceKernels(heap) })
    const plain = new PlainAttention(shape),
      other = new PlainAttention(shape)
    const first = randomInputs(shape, 70, random)
    await cache.layer(0).attend(tensors(shape, first))
    plain.attend(first)
    other.attend(first)
    const fork = cache.fork()
    for (let i = 0; i < 20; i++) {
      const a = randomInputs(shape, 1, random),
        b = randomInputs(shape, 3, random)
      const outA = (await cache.layer(0).attend(tensors(shape, a))) as ArrayTensor
      const outB = (await fork.layer(0).attend(tensors(shape, b))) as ArrayTensor
      expect(relativeError(outA.data, plain.attend(a))).toBeLessThan(1e-5)
      expect(relativeError(outB.data, other.attend(b))).toBeLessThan(1e-5)
    }
    await cache.dispose()
    const b = randomInputs(shape, 1, random)
    const out = (await fork.layer(0).attend(tensors(shape, b))) as ArrayTensor
    expect(relativeError(out.data, other.attend(b))).toBeLessThan(1e-5)
    await fork.dispose()
    expect(heap.live).toBe(0)
  })

  it('refuses wrong shapes and NaN before anything changes', async () => {
    const shape: CacheShape = { layers: 1, kvHeads: 1, queryHeads: 2, headDim: 16, rope: { theta: 1e4 } }
    const heap = ownHeap()
    const cache = new KvCache(shape, { kernels: referenceKernels(heap) })
    const inputs = randomInputs(shape, 3, createRandom(1))
    await cache.layer(0).attend(tensors(shape, inputs))
    const before = cache.ledger()
    const bad = tensors(shape, randomInputs(shape, 2, createRandom(2)))
    await expect(cache.layer(0).attend({ ...bad, v: { ...bad.v, shape: [1, 1, 16] } })).rejects.toThrow(ShapeError)
    bad.k.data[7] = NaN
    await expect(cache.layer(0).attend(bad)).rejects.toThrow(NotFiniteError)
    expect(cache.ledger()).toEqual(before)
    expect(cache.length).toBe(3)
    expect(() => new KvCache({ ...shape, queryHeads: 3, kvHeads: 2 })).toThrow(ShapeError)
  })
})
