import { scissorhands } from '@kvfold/eviction'
import { type ArrayTensor, fromHalf, type Kernels, type Layout, ownHeap, referenceKernels } from '@kvfold/kernels'
import {
  type CacheShape,
  type Codec,
  compose,
  createRandom,
  type Encoder,
  KvCache,
  PolicySyntaxError,
  type Preset,
  UnsupportedPolicyError,
} from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { flexgen } from '../src/index.ts'

type Params = Parameters<typeof flexgen>[0]
type Affine = Extract<Layout, { kind: 'affine' }>

function codecOf(params?: Params): Codec {
  return (flexgen(params).encode as Encoder).classes[0].keys
}

/** What is left of rows that were packed as one page, and the steps of its groups. */
function pack(kernels: Kernels, codec: Codec, x: Float32Array, headDim: number): { decoded: Float32Array; steps: Float32Array } {
  const layout = codec.layout as Affine
  const rows = x.length / headDim
  const { heap } = kernels
  const from = heap.malloc(x.byteLength)
  const page = heap.malloc(codec.bytes(rows, headDim))
  heap.f32.set(x, from / 4)
  kernels.quantize(from, rows, headDim, layout, page, rows)
  kernels.dequantize(page, rows, layout, 0, rows, headDim, from)
  const decoded = heap.f32.slice(from / 4, from / 4 + x.length)
  const first = (page + (x.length * layout.bits) / 8) / 2
  const steps = Float32Array.from(heap.u16.subarray(first, first + x.length / layout.group), fromHalf)
  heap.free(from)
  heap.free(page)
  return { decoded, steps }
}

describe('flexgen, by hand', () => {
  const kernels = referenceKernels()

  it('packs the example of four numbers', () => {
    // Four times, to fill a group of 16 channels: the same extremes, the same codes.
    const x = Float32Array.from({ length: 16 }, (_, i) => [-1, 0, 0.5, 2][i % 4])
    const { decoded, steps } = pack(kernels, codecOf({ group: 16 }), x, 16)
    expect(Math.abs(steps[0] - 1 / 5)).toBeLessThan(1e-4)
    for (const [i, y] of decoded.entries()) expect(Math.abs(y - [-1, 0, 0.6, 2][i % 4])).toBeLessThan(2e-3)
  })

  it('errs by half a step at most, (max - min) / 30, and by the rounding of step and minimum; keys and values alike', () => {
    const setting = fc.record({
      group: fc.constantFrom(16 as const, 32 as const, 64 as const),
      count: fc.integer({ min: 1, max: 64 }),
      base: fc.array(fc.float({ min: -100, max: 100, noNaN: true }), { minLength: 7, maxLength: 97 }),
    })
    fc.assert(
      fc.property(setting, ({ group, count, base }) => {
        const [{ keys, values }] = (flexgen({ group }).encode as Encoder).classes
        expect(keys.layout).toEqual(values.layout)
        const x = Float32Array.from({ length: count * 64 }, (_, i) => base[(i * 7) % base.length])
        const { decoded } = pack(kernels, keys, x, 64)
        for (let first = 0; first < x.length; first += group) {
          const own = x.subarray(first, first + group)
          const [low, high] = [Math.min(...own), Math.max(...own)]
          const slack = 2 ** -10 * (Math.abs(low) + high - low) + 1e-5
          for (let i = first; i < first + group; i++) expect(Math.abs(decoded[i] - x[i])).toBeLessThanOrEqual((high - low) / 30 + slack)
        }
      }),
      { numRuns: 60 },
    )
  })

  it('takes 72 bytes for a vector of 128 numbers', () => {
    expect(codecOf().bytes(64, 128) / 64).toBe(72)
    expect(codecOf({ bits: 2 }).bytes(64, 128) / 64).toBe(40)
    expect(codecOf({ group: 32 }).bytes(64, 64) / 64).toBe(40)
  })

  it('refuses settings that cannot be packed', () => {
    expect(() => flexgen({ bits: 3 as 4 })).toThrow(PolicySyntaxError)
    expect(() => flexgen({ group: 128 as 64 })).toThrow(/group/)
    expect(() => flexgen({ residual: -1 })).toThrow(/residual/)
    expect(() => new KvCache({ ...SHAPE, headDim: 96 }, { policy: compose(flexgen()) })).toThrow(UnsupportedPolicyError)
    expect(() => new KvCache({ ...SHAPE, headDim: 96 }, { policy: compose(flexgen({ group: 32 })) })).not.toThrow()
  })
})

const SHAPE: CacheShape = { layers: 1, queryHeads: 2, kvHeads: 1, headDim: 128, rope: { theta: 10_000 } }

/** Two caches that are fed alike; `attend` gives the largest difference of their outputs. */
function pair(one: Preset[], other: Preset[]) {
  const random = createRandom(1)
  const tensor = (heads: number, n: number): ArrayTensor => ({
    shape: [heads, n, 128],
    dtype: 'float32',
    data: Float32Array.from({ length: heads * n * 128 }, () => random() * 4 - 2),
  })
  const caches = [one, other].map((presets) => new KvCache(SHAPE, { policy: compose(...presets), kernels: referenceKernels(ownHeap()) }))
  return {
    caches,
    async attend(n: number): Promise<number> {
      const input = { q: tensor(2, n), k: tensor(1, n), v: tensor(1, n) }
      const [a, b] = [(await caches[0].layer(0).attend(input)) as ArrayTensor, (await caches[1].layer(0).attend(input)) as ArrayTensor]
      return a.data.reduce((most, x, i) => Math.max(most, Math.abs(x - b.data[i])), 0)
    },
    dispose: () => Promise.all(caches.map((cache) => cache.dispose())),
  }
}

describe('flexgen, in a cache', () => {
  it('packs every row as it comes: the prompt is read whole, and a step reads its own row so', async () => {
    const { caches, attend, dispose } = pair([flexgen()], [])
    expect(await attend(1)).toBe(0)
    expect(await attend(1)).toBeGreaterThan(0)
    for (let step = 2; step < 64; step++) await attend(1)
    const { payload, scales } = caches[0].ledger()
    expect([payload, scales]).toEqual([64 * 2 * 64, 64 * 2 * 8])
    await dispose()
  })

  it('stays near the full cache, the nearer the more bits', async () => {
    const errors: number[] = []
    for (const bits of [2, 4, 8] as const) {
      const { attend, dispose } = pair([flexgen({ bits })], [])
      expect(await attend(200)).toBe(0)
      let error = 0
      for (let step = 0; step < 30; step++) error = Math.max(error, await attend(1))
      errors.push(error)
      await dispose()
    }
    expect(errors[1]).toBeLessThan(0.15)
    expect(errors[1]).toBeLessThan(errors[0] / 3)
    expect(errors[2]).toBeLessThan(errors[1] / 5)
  })

  it('may leave newest rows unpacked', async () => {
    const { caches, attend, dispose } = pair([flexgen({ residual: 16 })], [])
    await attend(80)
    // Sixty-four packed rows, sixteen as they are.
    const { payload } = caches[0].ledger()
    expect(payload).toBe(64 * 2 * 64 + 16 * 2 * 128 * 4)
    await dispose()
  })
})

describe('scissorhands + flexgen, the 4-bit cache of the Scissorhands paper', () => {
  it('holds the rows of scissorhands alone, each in 1/3.56 of float16', async () => {
    const { caches, attend, dispose } = pair(
      [scissorhands({ budget: 128, window: 32 }), flexgen()],
      [scissorhands({ budget: 128, window: 32 })],
    )
    expect(await attend(256)).toBe(0)
    const [packed, raw] = caches.map((cache) => cache.ledger())
    expect([packed.rows, raw.rows]).toEqual([128, 128])
    const float16 = packed.rows * 2 * 128 * 2
    expect(float16 / (packed.payload + packed.scales)).toBeCloseTo(3.56, 2)
    for (let step = 0; step < 100; step++) {
      const error = await attend(1)
      // Later the two may keep other rows.
      if (step === 0) expect(error).toBeLessThan(0.15)
      const [own, other] = caches.map((cache) => cache.ledger())
      expect(own.rows).toBe(other.rows)
      expect(own.rows).toBeLessThanOrEqual(128)
      // Pages that are not full cost something, never a quarter.
      expect(own.payload + own.scales).toBeLessThan(1.25 * 144 * own.rows + 64 * 144)
    }
    await dispose()
  })

  testMethod('together', () => [scissorhands({ budget: 40, window: 16 }), flexgen({ group: 32 })], { describe, it })
})

testMethod('flexgen, 64 channels', () => [flexgen()], { describe, it }, { shape: { ...SHAPE, headDim: 64 } })
testMethod('flexgen, 2 bits of 32 channels', () => [flexgen({ bits: 2, group: 32 })], { describe, it })
testMethod('flexgen, 8 bits and a tail', () => [flexgen({ bits: 8, group: 16, residual: 20 })], { describe, it })
