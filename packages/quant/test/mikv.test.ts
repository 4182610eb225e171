import { h2o, snapkv } from '@kvfold/eviction'
import { type CacheShape, type Encoder, PolicySyntaxError } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { flexgen, mikv } from '../src/index.ts'
import { besideFull, channelSeparable, headOf, throughCodec } from './support.ts'

type Params = Parameters<typeof mikv>[0]
const encoder = (params?: Params): Encoder => mikv(params).encode as Encoder
const kept = (n: number): Uint32Array => Uint32Array.from({ length: n }, (_, i) => i)

/** Which rows are moved, of scores and rows that were moved before. */
function moves(params: Params, scores: readonly number[], moved = 0, moment: 'prefill' | 'decode' = 'prefill'): number[] {
  const n = scores.length
  const classes = encoder(params).assign!(kept(n), Float32Array.from(scores), headOf(n, { moved }), moment)
  return [...classes].flatMap((storage, row) => (storage === 1 && row >= moved ? [row] : []))
}

describe('mikv, by hand', () => {
  it('keeps the newest rows and those with the most attention, half of each', () => {
    const scores = [9, 1, 2, 8, 3, 7, 1, 1, 1, 1]
    expect(moves({ important: 0.4 }, scores)).toEqual([1, 2, 4, 5, 6, 7])
    expect(moves({ important: 0 }, scores)).toEqual([...kept(10)])
    expect(moves({ important: 1 }, scores)).toEqual([])
    // The older row of a tie stays.
    expect(moves({ important: 0.4 }, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1])).toEqual([2, 3, 4, 5, 6, 7])
  })

  it('moves rows in steps while tokens are generated, and none back', () => {
    const scores = [9, 9, 9, 9, 9, 5, 4, 6, 3, 0]
    // Five rows were moved; of the others 4 may stay: one is too many, the step is 2.
    expect(moves({ important: 0.4, step: 2 }, scores, 5, 'decode')).toEqual([])
    expect(moves({ important: 0.4, step: 1 }, scores, 5, 'decode')).toEqual([6])
    expect(moves({ important: 0.3, step: 2 }, scores, 5, 'decode')).toEqual([6, 8])
  })

  it('has every row in one class, and no more important ones than the share says', () => {
    const setting = fc.record({
      important: fc.double({ min: 0, max: 1, noNaN: true }),
      step: fc.integer({ min: 1, max: 64 }),
      scores: fc.array(fc.float({ noNaN: true }), { minLength: 1, maxLength: 200 }),
      moved: fc.nat(),
      decode: fc.boolean(),
    })
    fc.assert(
      fc.property(setting, ({ important, step, scores, moved: any, decode }) => {
        const moved = decode ? any % scores.length : 0
        const gone = moves({ important, step }, scores, moved, decode ? 'decode' : 'prefill')
        const stay = Math.floor(important * scores.length)
        const held = scores.length - moved - gone.length
        expect(held).toBeLessThan(stay + (decode ? step : 1) || 1)
        if (gone.length > 0) expect(held).toBe(stay)
        const newest = Math.floor(stay / 2)
        expect(gone.every((row) => row < scores.length - newest)).toBe(true)
      }),
    )
  })

  it('rounds the example of keys better where channels are balanced', () => {
    const keys = [
      [8, 0.1, 0.3, -0.4],
      [-6, 0.2, -0.1, 0.5],
      [7, -0.4, 0.2, 0.1],
    ]
    const queries = [
      [0.5, 1, -2, 1],
      [0.4, 2, 1, -1],
    ]
    const error = (rounded: number[][]): number => {
      const dot = (a: number[], b: number[]): number => a.reduce((sum, x, i) => sum + x * b[i], 0)
      const all = queries.flatMap((q) => rounded.map((row, i) => Math.abs(dot(q, row) - dot(q, keys[i]))))
      return all.reduce((a, b) => a + b) / all.length
    }
    // Four times, for whole bytes: the same extremes, the same codes.
    const x = Float32Array.from(keys.flatMap((row) => [row, row, row, row].flat()))
    const y = throughCodec(
      channelSeparable(2, () => 16),
      x,
      16,
    )
    const balanced = keys.map((_, i) => [...y.subarray(i * 16, i * 16 + 4)])
    const plain = [
      [8, -0.4, -0.4, -0.4],
      [-6, 0.5, 0.5, 0.5],
      [7, -0.4, -0.4, -0.4],
    ]
    expect(error(plain)).toBeCloseTo(0.917, 2)
    // The paper's balancer, which also knows the queries, leaves 0.245.
    expect(error(balanced)).toBeLessThan(0.5)
  })

  it('takes 3.25 bits for a number of other rows’ keys in heads of 64, and 3 for their values', () => {
    const [, { keys, values }] = encoder().classes
    expect((keys.bytes(64, 64) * 8) / 64 / 64).toBe(3.25)
    expect((values.bytes(64, 64) * 8) / 64 / 64).toBe(3)
  })

  it('refuses settings that mean nothing', () => {
    expect(() => mikv({ important: 2 })).toThrow(PolicySyntaxError)
    expect(() => mikv({ high: 2 as 4 })).toThrow(/high/)
    expect(() => mikv({ step: 65 })).toThrow(/step/)
  })
})

const SHAPE: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 10_000 } }

/** Mean distance from a full cache over 60 steps after a prompt of 200. */
async function error(presets: Parameters<typeof besideFull>[1]): Promise<number> {
  const { cache, attend, dispose } = besideFull(SHAPE, presets)
  expect((await attend(200)).most).toBe(0)
  let sum = 0
  for (let step = 0; step < 60; step++) sum += (await attend(1)).mean
  expect(cache.ledger().rows).toBe(260 * 2)
  await dispose()
  return sum / 60
}

describe('mikv, in a cache', () => {
  it('changes nothing if all rows are important and unpacked', async () => {
    const { attend, dispose } = besideFull(SHAPE, [mikv({ important: 1, high: 32 })])
    for (const n of [100, 1, 1, 30, 1]) expect((await attend(n)).most).toBe(0)
    await dispose()
  })

  it('is plain rounding of every row if none is important', async () => {
    const [a, b] = [await error([mikv({ important: 0, low: 4, balance: false, step: 1 })]), await error([flexgen({ bits: 4, group: 32 })])]
    expect(a).toBeGreaterThan(0)
    expect(Math.abs(a - b)).toBeLessThan(b * 1e-3)
  })

  it('keeps all rows, and comes the nearer the more bits and the more important rows', async () => {
    const two = await error([mikv({ important: 0 })])
    const mixed = await error([mikv()])
    const four = await error([mikv({ low: 4 })])
    expect(mixed).toBeLessThan(two)
    expect(four).toBeLessThan(mixed * 0.6)
    expect(await error([mikv({ important: 0.9, high: 32, low: 8 })])).toBeLessThan(four * 0.2)
  })

  it('loses less to large channels of keys when they are balanced', async () => {
    const of = async (balance: boolean): Promise<number> => {
      const { attend, dispose } = besideFull(SHAPE, [mikv({ important: 0, balance })], 8)
      await attend(200)
      const { mean } = await attend(1)
      await dispose()
      return mean
    }
    expect(await of(true)).toBeLessThan((await of(false)) * 0.8)
  })

  it('takes another method’s scores, and leaves to it which rows stay', async () => {
    const { cache, attend, dispose } = besideFull(SHAPE, [h2o({ budget: 100 }), mikv()])
    for (const n of [200, 1, 1, 1]) await attend(n)
    expect(cache.ledger().rows).toBe(200)
    await dispose()
    expect(await error([snapkv({ budget: { ratio: 1 } }), mikv()])).toBeGreaterThan(0)
  })
})

const shape = { ...SHAPE, layers: 2 }
testMethod('mikv', () => [mikv()], { describe, it }, { shape })
testMethod('mikv, read where it lies', () => [mikv({ balance: false, low: 4, step: 1 })], { describe, it }, { shape })
testMethod('mikv, unpacked important rows', () => [mikv({ high: 32, step: 7 })], { describe, it }, { shape })
