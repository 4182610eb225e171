import { createKernels, type ArrayTensor } from '@kvfold/kernels'
import {
  type CacheShape,
  type Calibration,
  compose,
  createRandom,
  KvCache,
  type ModelParts,
  type Random,
  UnsupportedPolicyError,
} from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { calibrateLayer, kvquant } from '../src/index.ts'
import { findLevels, quantile } from '../src/kvquant-calibration.ts'
import { kvquantKeys, kvquantValues } from '../src/kvquant-codec.ts'
import { expectClose, packed, throughCodec } from './support.ts'

const normal = (random: Random): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
const evenly = (bits: number): { choose: Float32Array; read: Float32Array } => {
  const levels = Float32Array.from({ length: 2 ** bits }, (_, i) => (2 * i) / (2 ** bits - 1) - 1)
  return { choose: levels, read: levels }
}

describe('keys', () => {
  it('without outliers and with even levels are plain asymmetric codes per channel', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(2 as const, 3 as const, 4 as const),
        fc.integer({ min: 1, max: 64 }),
        fc.integer(),
        (bits, count, seed) => {
          const random = createRandom(seed)
          const headDim = 16
          const x = Float32Array.from({ length: count * headDim }, (_, i) => normal(random) + (i % headDim))
          const low = new Float32Array(headDim).fill(Infinity),
            high = new Float32Array(headDim).fill(-Infinity)
          x.forEach((value, i) => {
            low[i % headDim] = Math.min(low[i % headDim], value)
            high[i % headDim] = Math.max(high[i % headDim], value)
          })
          const back = throughCodec(kvquantKeys(bits, evenly(bits), low, high), x, headDim)
          back.forEach((value, i) => {
            const c = i % headDim
            const step = (high[c] - low[c]) / (2 ** bits - 1)
            expect(Math.abs(value - x[i])).toBeLessThanOrEqual(step / 2 + 1e-5)
            if (step > 0) expect(Math.abs((value - low[c]) / step - Math.round((value - low[c]) / step))).toBeLessThan(1e-3)
          })
        },
      ),
    )
  })

  it('keep what lies outside their range, also when other rows of the page have left', () => {
    const headDim = 16
    const random = createRandom(Date.now())
    const low = new Float32Array(headDim).fill(-1),
      high = new Float32Array(headDim).fill(1)
    const x = Float32Array.from({ length: 64 * headDim }, () => random() * 2 - 1)
    // The first token is one large outlier, as in real models; another has two.
    for (let c = 0; c < headDim; c++) x[c] = (c + 2) * (c % 2 ? 1 : -1)
    x[40 * headDim + 3] = 5.5
    x[40 * headDim + 9] = -7.25
    const codec = kvquantKeys(2, evenly(2), low, high)
    const shared = new Uint8Array(codec.shared!(headDim))
    const bytes = new Uint8Array(codec.bytes(64, headDim) - shared.length)
    codec.encode!(x, 64, headDim, bytes, shared)
    const width = bytes.length / 64
    const left = [0, 17, 40]
    const out = new Float32Array(3 * headDim)
    codec.decode!(Uint8Array.from(left.flatMap((row) => [...bytes.subarray(row * width, (row + 1) * width)])), 3, headDim, out, shared)
    expect([...out.subarray(0, headDim)]).toEqual([...x.subarray(0, headDim)])
    expect(out[2 * headDim + 3]).toBe(5.5)
    expect(out[2 * headDim + 9]).toBe(-7.25)
    for (const value of out.subarray(headDim, 2 * headDim)) expect(Math.abs(value)).toBeLessThanOrEqual(1)
  })

  it('of more outliers than there is room for keep the farthest', () => {
    const headDim = 16
    const x = Float32Array.from({ length: 64 * headDim }, (_, i) => 2 + i)
    const codec = kvquantKeys(2, evenly(2), new Float32Array(headDim), new Float32Array(headDim).fill(1))
    const room = codec.shared!(headDim) / 4
    expect(room).toBe(Math.ceil(0.02 * 64 * headDim))
    const back = throughCodec(codec, x, headDim)
    back.forEach((value, i) => expect(value).toBe(i >= x.length - room ? x[i] : 1))
  })
})

describe('values', () => {
  it('keep the largest and the smallest number of a token, and round the others in their range', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(2 as const, 3 as const, 4 as const),
        fc.integer({ min: 1, max: 70 }),
        fc.integer(),
        (bits, count, seed) => {
          const random = createRandom(seed)
          const headDim = 32
          const x = Float32Array.from({ length: count * headDim }, () => normal(random))
          const back = packed(createKernels(), kvquantValues(bits, evenly(bits)), x, headDim)
          for (let row = 0; row < count; row++) {
            const own = x.subarray(row * headDim, (row + 1) * headDim)
            const sorted = own.slice().sort()
            const step = (sorted[headDim - 2] - sorted[1]) / (2 ** bits - 1)
            own.forEach((value, c) => {
              const extreme = value === sorted[0] || value === sorted[headDim - 1]
              expect(Math.abs(back[row * headDim + c] - value)).toBeLessThanOrEqual(
                (extreme ? 0 : step / 2) + Math.abs(value) * 1e-3 + 3e-3,
              )
            })
          }
        },
      ),
    )
  })

  it('that are all the same come back', () => {
    expectClose(throughCodec(kvquantValues(3, evenly(3)), new Float32Array(32).fill(0.5), 32), new Float32Array(32).fill(0.5), 0)
  })
})

describe('levels', () => {
  it('are k-means: the two means of two heaps, and for normal numbers those of Lloyd and Max', () => {
    expectClose(findLevels(Float64Array.of(-0.9, -0.8, -0.7, 0.4, 0.6), 2, false).choose, [-0.8, 0.5], 1e-6)
    const random = createRandom(4)
    const numbers = Float64Array.from({ length: 200_000 }, () => normal(random)).sort()
    expectClose(findLevels(numbers, 4, false).choose, [-1.5104, -0.4528, 0.4528, 1.5104], 0, 0.02)
    expectClose(findLevels(numbers, 8, false).choose, [-2.152, -1.344, -0.7561, -0.2451, 0.2451, 0.7561, 1.344, 2.152], 0, 0.04)
  })

  it('of 2 bits are read back stretched: mean and deviation of what is read are those of the numbers', () => {
    const random = createRandom(Date.now())
    const numbers = Float64Array.from({ length: 5000 }, () => normal(random) ** 3 / 30 + 0.1).sort()
    const { choose, read } = findLevels(numbers, 4, true)
    const rounded = numbers.map(
      (x) => read[choose.reduce((best, level, i) => (Math.abs(level - x) < Math.abs(choose[best] - x) ? i : best), 0)],
    )
    const moments = (x: Float64Array): [number, number] => {
      const mean = x.reduce((a, b) => a + b) / x.length
      return [mean, Math.sqrt(x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length)]
    }
    expectClose(moments(rounded), moments(numbers), 1e-3)
  })

  it('are found even in no numbers, and quantiles lie between neighbours', () => {
    expectClose(findLevels(new Float64Array(0), 4, true).choose, [-1, -1 / 3, 1 / 3, 1], 1e-6)
    expect(quantile([1, 2, 4], 0.75)).toBe(3)
    expect(quantile([7], 0.3)).toBe(7)
  })
})

const SHAPE: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 32, rope: { theta: 10_000 } }

function calibratedModel({ kvHeads, headDim }: CacheShape): ModelParts {
  const random = createRandom(2)
  const channels = kvHeads * headDim
  const draw = (): Float32Array => Float32Array.from({ length: 1000 * channels }, () => (random() + random() + random() - 1.5) * 2)
  const layer: Calibration = calibrateLayer(draw(), draw(), channels, headDim)
  return { calibration: () => layer }
}

describe('calibration', () => {
  it('leaves one number in a hundred outside a channel and is the same for shuffled tokens', () => {
    const random = createRandom(Date.now())
    const channels = 8
    const keys = Float32Array.from({ length: 2000 * channels }, (_, i) => normal(random) * (1 + (i % channels)))
    const { keyLow, keyHigh } = calibrateLayer(keys, keys, channels, channels)
    for (let c = 0; c < channels; c++) {
      const outside = keys.filter((x, i) => i % channels === c && (x < keyLow[c] || x > keyHigh[c])).length
      expect(outside).toBe(20)
    }
  })
})

describe('kvquant', () => {
  it('packs what the cache was given, before rotation: more bits, less error', async () => {
    const model = calibratedModel(SHAPE)
    const errors: number[] = []
    for (const bits of [2, 3, 4] as const) {
      const random = createRandom(9)
      const tensor = (heads: number, n: number): ArrayTensor => ({
        shape: [heads, n, 32],
        dtype: 'float32',
        data: Float32Array.from({ length: heads * n * 32 }, () => (random() + random() + random() - 1.5) * 2),
      })
      const kernels = createKernels()
      const [own, full] = [compose(kvquant({ bits })), compose()].map((policy) => new KvCache(SHAPE, { policy, kernels, model }))
      const prompt = { q: tensor(4, 200), k: tensor(2, 200), v: tensor(2, 200) },
        step = { q: tensor(4, 1), k: tensor(2, 1), v: tensor(2, 1) }
      const outputs: Float32Array[] = []
      for (const cache of [own, full]) {
        await cache.layer(0).attend(prompt)
        outputs.push(((await cache.layer(0).attend(step)) as ArrayTensor).data)
        await cache.dispose()
      }
      errors.push(outputs[0].reduce((sum, x, i) => sum + Math.abs(x - outputs[1][i]), 0) / outputs[0].length)
    }
    expect(errors[0]).toBeGreaterThan(1.5 * errors[1])
    expect(errors[1]).toBeGreaterThan(1.5 * errors[2])
    expect(errors[2]).toBeLessThan(0.03)
  })

  it('refuses a model that was not calibrated', () => {
    for (const model of [{}, { calibration: () => undefined }])
      expect(() => new KvCache(SHAPE, { policy: compose(kvquant()), kernels: createKernels(), model })).toThrow(UnsupportedPolicyError)
  })
})

for (const bits of [2, 3, 4] as const)
  testMethod(`kvquant(bits=${bits})`, () => [kvquant({ bits })], { describe, it }, { shape: SHAPE, model: calibratedModel(SHAPE) })
