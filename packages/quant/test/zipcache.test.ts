import { fromHalf, fromHalves, toHalf } from '@kvfold/kernels'
import { type CacheShape, createRandom, type Encoder, PolicySyntaxError, type Scorer } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { golden } from '../../../tooling/golden.ts'
import { zipcache } from '../src/index.ts'
import { chooseProbes, probeAttention } from '../src/probe-attention.ts'
import { besideFull, channelSeparable, concatenated, expectClose, headOf, throughCodec } from './support.ts'

const HALF = 2 ** -11
const encoder = (params?: Parameters<typeof zipcache>[0]): Encoder => zipcache(params).encode as Encoder
const scorer = (params?: Parameters<typeof zipcache>[0]): Scorer => zipcache(params).fallback!.score!
const whole = (headDim: number): number => headDim

/** A head whose logits are those of queries [group][count][1], which are the numbers of rows of `attention`. */
function headOfAttention(attention: number[][]) {
  const logits = attention.map((row) => row.map(Math.log))
  return headOf(logits[0].length, {
    headDim: 1,
    logits: (queries, count) => Float32Array.from([...queries].slice(0, count).flatMap((i) => logits[i])),
  })
}

describe('zipcache, by hand', () => {
  const attention = [
    [1, 0, 0, 0],
    [0.6, 0.4, 0, 0],
    [0.2, 0.2, 0.6, 0],
    [0.1, 0.1, 0.2, 0.6],
  ]
  const queries = { data: Float32Array.of(0, 1, 2, 3), count: 4 }

  it('divides what a row got by the probes that saw it', () => {
    const all = probeAttention(queries, 1, [0, 1, 2, 3], headOfAttention(attention))
    expectClose(all.sums, [1.9, 0.7, 0.8, 0.6], 1e-5)
    expect([...all.seen]).toEqual([4, 3, 2, 1])
    const some = probeAttention(queries, 1, [1, 3], headOfAttention(attention))
    expectClose(some.sums, [0.7, 0.5, 0.2, 0.6], 1e-5)
    expect([...some.seen]).toEqual([2, 2, 1, 1])
    // All queries as probes, through the method: the newest row ranks first, not the oldest.
    const scores = scorer({ probes: 1 }).score({ moment: 'prefill', group: 1, queries }, headOfAttention(attention))
    expectClose(scores, [0.475, 0.7 / 3, 0.4, 0.6], 1e-5)
  })

  it('takes the newest half of the probes, and draws the others from the rest, each once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), fc.float({ min: 0, max: 1, noNaN: true }), fc.integer(), (count, share, seed) => {
        const probes = chooseProbes(count, share, createRandom(seed))
        const recent = Math.min(count, Math.ceil((count * share) / 2))
        expect(probes.slice(probes.length - recent)).toEqual(Array.from({ length: recent }, (_, i) => count - recent + i))
        expect(probes).toHaveLength(recent + Math.min(count - recent, Math.floor((count * share) / 2)))
        expect([...new Set(probes)].sort((a, b) => a - b)).toEqual(probes)
        expect(probes.every((probe) => probe >= 0 && probe < count)).toBe(true)
      }),
    )
    const drawn = new Set(Array.from({ length: 200 }, (_, seed) => chooseProbes(20, 0.1, createRandom(seed))[0]))
    expect(drawn.size).toBe(19)
  })

  it('packs the example of values, a token’s row better than without the channels’ scales', () => {
    const rows = [
      [1, 10, 0.25],
      [0.5, -20, 1],
      [2, 40, -0.5],
      [-4, 5, 0.75],
    ]
    // Four times, for whole bytes: the same extremes, the same codes.
    const x = Float32Array.from(rows.flatMap((row) => [row, row, row, row].flat()))
    const y = throughCodec(channelSeparable(4, whole), x, 12)
    expectClose(y.subarray(24, 27), [1.72982, 40, -0.5], 2 * HALF, 2e-3)
    const mean = (channel: number): number =>
      rows.reduce((sum, row, i) => sum + Math.abs(y[i * 12 + channel] - row[channel]) / rows.length, 0)
    expectClose([0, 1, 2].map(mean), [0.117, 0, 0.01], 0, 0.02)
  })

  it('packs a prompt whole, then `gap` rows at a time; rows that were moved stay', () => {
    const { assign } = encoder({ salient: 0.5, gap: 4 })
    const kept = (n: number): Uint32Array => Uint32Array.from({ length: n }, (_, i) => i)
    const scores = Float32Array.of(9, 1, 8, 2, 3, 3)
    expect([...assign!(kept(6), scores, headOf(6), 'prefill')]).toEqual([1, 2, 1, 2, 1, 2])
    expect([...assign!(kept(6), scores, headOf(6, { moved: 3 }), 'decode')].slice(3)).toEqual([0, 0, 0])
    expect([...assign!(kept(6), scores, headOf(6, { moved: 2 }), 'decode')].slice(2)).toEqual([1, 2, 1, 2])
    const hundred = encoder().assign!(
      kept(100),
      Float32Array.from({ length: 100 }, (_, i) => i),
      headOf(100),
      'prefill',
    )
    expect([...hundred].filter((storage) => storage === 2)).toHaveLength(40)
  })

  it('gives a generated row the mean attention of the steps that saw it', () => {
    const columns = { saliency: Float32Array.of(0.5, 0, 0) }
    const step = (attention: number[], group = 1) => ({ moment: 'decode' as const, group, stepAttention: Float32Array.from(attention) })
    expectClose(scorer().score(step([0.1, 0.9]), headOf(2, { moved: 1 }, { saliency: columns.saliency.subarray(0, 2) })), [0.5, 0.9], 1e-6)
    expectClose(scorer().score(step([0.1, 0.3, 0.6, 0.1, 0.3, 0.6], 2), headOf(3, { moved: 1 }, columns)), [0.5, 0.6, 0.6], 1e-6)
  })

  it('refuses settings that mean nothing', () => {
    expect(() => zipcache({ salient: 1.5 })).toThrow(PolicySyntaxError)
    expect(() => zipcache({ low: 3 as 2 })).toThrow(/low/)
  })
})

describe('zipcache, against the authors’ code', () => {
  const { cases, tensor } = golden(new URL('data/', import.meta.url), 'zipcache')
  const [HEADS, TOKENS, DIM] = [2, 96, 32]

  for (const { id, args, inputs, outputs } of cases.filter((one) => one.id.startsWith('channel_tokenwise'))) {
    it(`${id}: values to what half precision allows`, () => {
      const codec = channelSeparable(args['bits'] as 2 | 4 | 8, whole)
      const x = concatenated(tensor(inputs['v']).data as Float32Array, HEADS, TOKENS)
      const wanted = concatenated(tensor(outputs['dequant']).data as Float32Array, HEADS, TOKENS)
      const [step, scale] = ['step', 'channel_scale'].map((role) => tensor(outputs[role]).data)
      const shared = new Uint8Array(DIM * 2)
      codec.encode!(x, TOKENS, DIM, new Uint8Array(codec.bytes(TOKENS, DIM)), shared)
      expectClose(fromHalves(new Uint16Array(shared.buffer)), scale, HALF)
      const got = throughCodec(codec, x, DIM)
      // A number near the middle of two codes may fall to the other one.
      let others = 0
      for (let i = 0; i < x.length; i++) {
        const off = Math.abs(got[i] - wanted[i])
        const unit = step[Math.floor(i / DIM)] * scale[i % DIM]
        expect(off).toBeLessThanOrEqual(unit * 1.01 + 0.01)
        if (off > 0.5 * unit && off > 0.01) others++
      }
      expect(others).toBeLessThanOrEqual(x.length * (args['bits'] === 8 ? 0.05 : 0.01))
    })
  }

  it('prefill: what the probes give each row, and which rows are not salient', () => {
    const { inputs, outputs } = cases.find((one) => one.id === 'prefill') as (typeof cases)[number]
    const [q, k, drawn, saliency, unimportant] = [
      inputs['q'],
      inputs['k'],
      inputs['random_probe'],
      outputs['saliency'],
      outputs['unimportant'],
    ].map((name) => tensor(name).data)
    const probes = [...drawn, 91, 92, 93, 94, 95]
    for (let h = 0; h < HEADS; h++) {
      const keys = k.subarray(h * TOKENS * 16, (h + 1) * TOKENS * 16)
      const logits = (queries: Float32Array, count: number): Float32Array =>
        Float32Array.from({ length: count * TOKENS }, (_, i) => {
          let dot = 0
          for (let c = 0; c < 16; c++) dot += queries[Math.floor(i / TOKENS) * 16 + c] * keys[(i % TOKENS) * 16 + c]
          return dot / 4
        })
      const data = q.slice(h * 2 * TOKENS * 16, (h + 1) * 2 * TOKENS * 16) as Float32Array
      const { sums } = probeAttention({ data, count: TOKENS }, 2, probes, headOf(TOKENS, { logits }))
      // The code divides by all queries that see a row.
      const divided = sums.map((sum, i) => sum / (TOKENS - i))
      expectClose(divided, saliency.subarray(h * TOKENS, (h + 1) * TOKENS), 1e-5, 5e-6)
      const classes = encoder().assign!(
        Uint32Array.from({ length: TOKENS }, (_, i) => i),
        divided,
        headOf(TOKENS),
        'prefill',
      )
      const regular = [...classes].flatMap((storage, row) => (storage === 2 ? [row] : []))
      expect(regular).toEqual([...unimportant.subarray(h * 38, (h + 1) * 38)].sort((a, b) => a - b))
    }
  })
})

describe('values with a scale per channel', () => {
  it('err by half a step times the channel’s scale, and by the rounding to half', () => {
    const number = fc.float({ min: -1000, max: 1000, noNaN: true })
    const setting = fc.record({
      bits: fc.constantFrom(2 as const, 4 as const, 8 as const),
      group: fc.constantFrom(16, 32),
      count: fc.integer({ min: 1, max: 64 }),
      base: fc.array(number, { minLength: 5, maxLength: 97 }),
    })
    fc.assert(
      fc.property(setting, ({ bits, group, count, base }) => {
        const x = Float32Array.from({ length: count * 32 }, (_, i) => base[(i * 7) % base.length])
        const y = throughCodec(
          channelSeparable(bits, () => group),
          x,
          32,
        )
        const c = Float32Array.from({ length: 32 }, (_, channel) => {
          let most = 0
          for (let i = channel; i < x.length; i += 32) most = Math.max(most, Math.abs(x[i]))
          return fromHalf(toHalf(Math.sqrt(most))) || 1
        })
        for (let first = 0; first < x.length; first += group) {
          const scaled = Array.from({ length: group }, (_, i) => x[first + i] / c[(first + i) % 32])
          const [low, high] = [Math.min(...scaled), Math.max(...scaled)]
          const most = (high - low) / (2 ** bits - 1) / 2 + 2 * HALF * (Math.abs(low) + high - low) + 1e-4
          for (let i = first; i < first + group; i++) expect(Math.abs(y[i] - x[i])).toBeLessThanOrEqual(most * c[i % 32] * 1.001 + 1e-6)
        }
      }),
      { numRuns: 60 },
    )
  })

  it('take a row’s codes and two halves, and two bytes a channel for a page', () => {
    expect(channelSeparable(2, whole).bytes(64, 64)).toBe(64 * (16 + 4) + 128)
    expect(channelSeparable(4, () => 32).bytes(64, 64)).toBe(64 * (32 + 8) + 128)
  })
})

const SHAPE: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 10_000 } }

describe('zipcache, in a cache', () => {
  it('reads the prompt whole, keeps all rows, and comes the nearer the more bits and the more salient rows', async () => {
    const errors: number[] = []
    for (const params of [{ salient: 0 }, { salient: 0.6 }, { salient: 1 }, { salient: 1, high: 8 as const }]) {
      const { cache, attend, dispose } = besideFull(SHAPE, [zipcache({ ...params, gap: 30 })])
      expect((await attend(200)).most).toBe(0)
      let sum = 0
      for (let step = 0; step < 40; step++) sum += (await attend(1)).mean
      expect(cache.ledger().rows).toBe(240 * 2)
      errors.push(sum / 40)
      await dispose()
    }
    expect(errors[1]).toBeLessThan(errors[0] * 0.9)
    expect(errors[2]).toBeLessThan(errors[1] * 0.6)
    expect(errors[3]).toBeLessThan(errors[2] * 0.2)
  })
})

testMethod('zipcache', () => [zipcache()], { describe, it }, { shape: { ...SHAPE, layers: 2 } })
testMethod('zipcache, a short gap', () => [zipcache({ gap: 9, salient: 0.3 })], { describe, it }, { shape: { ...SHAPE, layers: 2 } })
