import { createKernels, type ArrayTensor } from '@kvfold/kernels'
import { type AttendInput, compose, createRandom, KvCache, type CacheShape } from '@kvfold/kv-core'
import { describe, expect, it } from 'vitest'
import { registry } from '../src/registry.ts'

const shape: CacheShape = { layers: 3, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 1e5 } }

// Methods without a scorer bring their own if they are given a budget.
const methods = registry.list().filter(({ method }) => 'budget' in method.params.shape)

describe('a budget that is never reached changes nothing', () => {
  it.each(methods.map(({ method }) => method.name))('%s', async (name) => {
    const kernels = createKernels()
    const random = createRandom(Date.now())
    const tensor = (...size: number[]): ArrayTensor => ({
      shape: size,
      dtype: 'float32',
      data: Float32Array.from({ length: size.reduce((a, b) => a * b) }, () => random() * 4 - 2),
    })
    const draw = (n: number): AttendInput => ({
      q: tensor(4, n, shape.headDim),
      k: tensor(2, n, shape.headDim),
      v: tensor(2, n, shape.headDim),
      retaining: tensor(2, n),
    })
    const full = new KvCache(shape, { kernels })
    const limited = new KvCache(shape, { policy: compose(registry.get(name)({ budget: 100_000 })), kernels })
    for (const n of [120, 1, 1, 30, 1]) {
      for (let layer = 0; layer < shape.layers; layer++) {
        const input = draw(n)
        const expected = ((await full.layer(layer).attend(input)) as ArrayTensor).data
        const actual = ((await limited.layer(layer).attend(input)) as ArrayTensor).data
        const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
        const worst = actual.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0)
        expect(worst / scale).toBeLessThan(1e-4)
      }
      if (limited.unread > 0)
        await limited.reconstruct(50, async (_, count) => {
          for (let layer = 0; layer < shape.layers; layer++) await limited.layer(layer).attend(draw(count))
        })
    }
    expect(limited.ledger().rows).toBe(full.ledger().rows)
    await full.dispose()
    await limited.dispose()
  })
})
