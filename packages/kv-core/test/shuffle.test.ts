import { ownHeap, referenceKernels, type ArrayTensor } from '@kvfold/kernels'
import { createRandom, KvCache, type CacheShape } from '@kvfold/kv-core'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { randomInputs, relativeError, type Inputs } from './plain-attention.ts'

// The model rotates, so rows can be fed in any order: what a decode step sees is a set.
const shape: CacheShape = { layers: 1, queryHeads: 2, kvHeads: 1, headDim: 16, rope: 'external' }

const tensors = ({ q, k, v, n }: Inputs): Record<'q' | 'k' | 'v', ArrayTensor> => {
  const tensor = (data: Float32Array): ArrayTensor => ({ shape: [data.length / n / 16, n, 16], dtype: 'float32', data })
  return { q: tensor(q), k: tensor(k), v: tensor(v) }
}

it('rows in another order give the same output, up to rounding', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 2, max: 150 }), fc.integer(), async (n, seed) => {
      const random = createRandom(seed)
      const inputs = randomInputs(shape, n, random),
        step = randomInputs(shape, 1, random)
      const order = Array.from({ length: n }, (_, i) => [random(), i])
        .sort(([a], [b]) => a - b)
        .map(([, i]) => i)
      const shuffled: Inputs = { ...inputs, k: inputs.k.slice(), v: inputs.v.slice() }
      order.forEach((from, to) => {
        for (const part of ['k', 'v'] as const) shuffled[part].set(inputs[part].subarray(from * 16, from * 16 + 16), to * 16)
      })
      const out: Float32Array[] = []
      for (const prompt of [inputs, shuffled]) {
        const cache = new KvCache(shape, { kernels: referenceKernels(ownHeap()) })
        await cache.layer(0).attend(tensors(prompt))
        out.push(((await cache.layer(0).attend(tensors(step))) as ArrayTensor).data)
        await cache.dispose()
      }
      expect(relativeError(out[1], out[0])).toBeLessThan(1e-5)
    }),
    { numRuns: 30 },
  )
})
