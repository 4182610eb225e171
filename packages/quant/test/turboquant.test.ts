import { type CacheShape, type Codec, createRandom, type Encoder, PolicySyntaxError } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { flexgen, turboquant } from '../src/index.ts'
import { hadamard, turboCodec } from '../src/turbo-codec.ts'
import { besideFull, expectClose, throughCodec } from './support.ts'

const codecOf = (params?: Parameters<typeof turboquant>[0]): Codec => (turboquant(params).encode as Encoder).classes[0].keys

/** Pairs of numbers from N(0, 1). */
function normal(length: number, seed = 1): Float32Array {
  const random = createRandom(seed)
  return Float32Array.from({ length }, () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()))
}

/** Squared error over squared norm, of all rows. */
function relativeError(x: Float32Array, y: Float32Array): number {
  const squares = (values: Float32Array): number => values.reduce((sum, value) => sum + value * value, 0)
  return squares(x.map((value, i) => value - y[i])) / squares(x)
}

describe('turboquant, by hand', () => {
  it('packs the example of four numbers', () => {
    const signs = Float32Array.of(1, -1, 1, 1)
    const y = Float64Array.of(3, 4, 0, 0).map((x, i) => (x * signs[i]) / 5)
    expect(hadamard(y)).toBe(2)
    expectClose(y, [-0.2, 1.4, -0.2, 1.4], 0, 1e-12)
    const codec = turboCodec({ bits: 2, sameNorm: false, signs: () => signs })
    const bytes = new Uint8Array(3)
    codec.encode!(Float32Array.of(3, 4, 0, 0), 1, 4, bytes, bytes)
    // Codes 1, 3, 1, 3 and the norm 5 as a half.
    expect([...bytes]).toEqual([0x00, 0x45, 0b11_01_11_01])
    // Off by what four digits of the levels leave.
    expectClose(throughCodec(codec, Float32Array.of(3, 4, 0, 0), 4), [2.643, 4.907, 0, 0], 0, 2e-3)
  })

  it('turns as the matrix does whose signs are the parities of common bits, in blocks too', () => {
    const sign = (i: number, j: number): number => ([...(i & j).toString(2)].filter((bit) => bit === '1').length % 2 ? -1 : 1)
    for (const [length, block] of [
      [2, 2],
      [16, 16],
      [64, 64],
      [80, 16],
      [96, 32],
      [128, 128],
    ]) {
      const x = Float64Array.from(normal(length))
      const y = x.slice()
      expect(hadamard(y)).toBeCloseTo(Math.sqrt(block), 12)
      const expected = x.map((_, i) => {
        const first = Math.floor(i / block) * block
        return x.subarray(first, first + block).reduce((sum, value, j) => sum + sign(i - first, j) * value, 0)
      })
      expectClose(y, expected, 0, 1e-12 * length)
    }
  })

  it('has the paper’s error for 1 to 4 bits, whatever the rows look like', () => {
    const random = normal(400 * 128)
    const outliers = random.map((x, i) => x * (i % 128 === 7 ? 30 : i % 3 === 0 ? 0.1 : 1) + (i % 128 === 9 ? 20 : 0))
    for (const [bits, wanted] of [
      [1, 0.363],
      [2, 0.117],
      [3, 0.0345],
      [4, 0.0095],
    ] as const) {
      const codec = codecOf({ bits })
      expect(relativeError(random, throughCodec(codec, random, 128)) / wanted).toBeCloseTo(1, 1)
      // A rotation by signs and a Hadamard matrix spreads even these so that the error stays near it.
      expect(relativeError(outliers, throughCodec(codec, outliers, 128))).toBeLessThan(wanted * 1.6)
    }
  })

  it('reads rows back as long as they were, if asked', () => {
    const x = normal(50 * 64)
    const y = throughCodec(codecOf({ bits: 2, sameNorm: true }), x, 64)
    for (let row = 0; row < 50; row++) {
      const norm = (values: Float32Array): number => Math.hypot(...values.subarray(row * 64, (row + 1) * 64))
      expect(norm(y) / norm(x)).toBeCloseTo(1, 2)
    }
  })

  it('takes two bytes a row next to the codes', () => {
    expect([1, 2, 3, 4].map((bits) => codecOf({ bits: bits as 1 }).bytes(64, 128) / 64)).toEqual([18, 34, 50, 66])
  })

  it('refuses settings that mean nothing', () => {
    expect(() => turboquant({ bits: 5 as 4 })).toThrow(PolicySyntaxError)
    expect(() => codecOf().pageRows(72)).toThrow(/multiple of 16/)
  })
})

describe('turboquant, on random rows', () => {
  it('errs by little more than the row’s norm at worst, and rows do not meddle', () => {
    const setting = fc.record({
      bits: fc.constantFrom(1 as const, 2 as const, 3 as const, 4 as const),
      sameNorm: fc.boolean(),
      headDim: fc.constantFrom(16, 48, 64),
      count: fc.integer({ min: 1, max: 20 }),
      base: fc.array(fc.oneof(fc.float({ min: -1000, max: 1000, noNaN: true }), fc.constant(0)), { minLength: 5, maxLength: 97 }),
    })
    fc.assert(
      fc.property(setting, ({ bits, sameNorm, headDim, count, base }) => {
        const x = Float32Array.from({ length: count * headDim }, (_, i) => base[(i * 7) % base.length])
        const codec = codecOf({ bits, sameNorm })
        const y = throughCodec(codec, x, headDim)
        for (let row = 0; row < count; row++) {
          const own = x.slice(row * headDim, (row + 1) * headDim)
          const back = y.slice(row * headDim, (row + 1) * headDim)
          expect(throughCodec(codec, own, headDim)).toEqual(back)
          const norm = Math.hypot(...own)
          // Coordinates keep their signs, so the angle is below a right one; a direction along one axis is the worst, at one bit.
          expect(Math.hypot(...own.map((value, i) => value - back[i]))).toBeLessThanOrEqual(
            norm * (sameNorm ? Math.SQRT2 : 1.28) * 1.01 + 1e-3,
          )
        }
      }),
      { numRuns: 80 },
    )
  })
})

const SHAPE: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 10_000 } }

describe('turboquant, in a cache', () => {
  it('comes the nearer the more bits, and nearer than scales per token where channels are large', async () => {
    const error = async (preset: ReturnType<typeof turboquant>): Promise<number> => {
      const { attend, dispose } = besideFull(SHAPE, [preset], 8)
      expect((await attend(200)).most).toBe(0)
      let sum = 0
      for (let step = 0; step < 20; step++) sum += (await attend(1)).mean
      await dispose()
      return sum
    }
    const errors = []
    for (const bits of [1, 2, 3, 4] as const) errors.push(await error(turboquant({ bits, sameNorm: true })))
    for (let i = 1; i < 4; i++) expect(errors[i]).toBeLessThan(errors[i - 1] * 0.75)
    expect(errors[1]).toBeLessThan(await error(flexgen({ bits: 2 })))
  })
})

const shape = { ...SHAPE, layers: 2 }
testMethod('turboquant', () => [turboquant()], { describe, it }, { shape })
testMethod('turboquant, 2 bits and a tail', () => [turboquant({ bits: 2, sameNorm: true, residual: 20 })], { describe, it }, { shape })
