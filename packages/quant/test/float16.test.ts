import { fromHalf, ownHeap, referenceKernels, toHalfSaturated, wasmKernels } from '@kvfold/kernels'
import { type CacheShape, compose, KvCache, PolicySyntaxError, raw16 } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { float16 } from '../src/index.ts'
import { besideFull, packed } from './support.ts'

const shape: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 10_000 } }

describe.each([
  ['reference', referenceKernels(ownHeap())],
  ['wasm', wasmKernels(ownHeap())],
] as const)('float16, %s kernels', (_, kernels) => {
  it('rounds each number to the nearest half, however many rows come at once', () => {
    const number = fc.oneof(fc.float({ noNaN: true, noDefaultInfinity: true }), fc.float({ min: -8, max: 8, noNaN: true }))
    const setting = fc.record({
      base: fc.array(number, { minLength: 5, maxLength: 97 }),
      rows: fc.integer({ min: 1, max: 70 }),
      step: fc.integer({ min: 1, max: 9 }),
    })
    fc.assert(
      fc.property(setting, ({ base, rows, step }) => {
        const x = Float32Array.from({ length: rows * 16 }, (__, i) => base[(i * 7) % base.length])
        expect(packed(kernels, raw16, x, 16, step)).toEqual(x.map((value) => fromHalf(toHalfSaturated(value))))
      }),
      { numRuns: 25 },
    )
  })
})

describe('float16, in a cache', () => {
  it('reads the prompt in float32, and what it stored as near as halves are', async () => {
    const { cache, attend, dispose } = besideFull(shape, [float16()])
    expect((await attend(100)).most).toBe(0)
    for (const n of [1, 1, 30, 1]) {
      const { most } = await attend(n)
      expect(most).toBeGreaterThan(0)
      expect(most).toBeLessThan(0.005)
    }
    expect(cache.ledger().rows).toBe(133 * 2)
    await dispose()
  })

  it('takes half of float32, and the newest rows as they came', async () => {
    const random = besideFull({ ...shape, layers: 1 }, [float16({ residual: 10 })])
    await random.attend(64)
    const { payload, scales } = random.cache.ledger()
    // Pages grow by eight rows.
    expect(payload).toBe(2 * 2 * 64 * (56 * 2 + 16 * 4))
    expect(scales).toBe(0)
    await random.dispose()
  })

  it('refuses a tail that is no number of rows', () => {
    expect(() => float16({ residual: -1 })).toThrow(PolicySyntaxError)
  })

  it('takes heads of any size', async () => {
    const cache = new KvCache({ ...shape, headDim: 24 }, { policy: compose(float16()) })
    await cache.dispose()
  })
})

testMethod('float16', () => [float16()], { describe, it }, { shape })
testMethod('float16, with a tail', () => [float16({ residual: 20 })], { describe, it }, { shape })
testMethod('float16, heads that run on the reference', () => [float16()], { describe, it }, { shape: { ...shape, headDim: 24 } })
