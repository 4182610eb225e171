import { type CacheShape, type Codec, createRandom, type Encoder, PolicySyntaxError } from '@kvfold/kv-core'
import { referenceKernels } from '@kvfold/kernels'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { golden } from '../../../tooling/golden.ts'
import { gearCodec, type GearOptions } from '../src/gear-codec.ts'
import { gear, kivi } from '../src/index.ts'
import { lowRank } from '../src/low-rank.ts'
import { PagePool } from '../../kv-core/src/page.ts'
import { PageList } from '../../kv-core/src/page-list.ts'
import { besideFull, concatenated, expectClose, throughCodec } from './support.ts'

const HALF = 2 ** -11
const OPTIONS: GearOptions = { bits: 2, axis: 'channel', group: 32, rows: 32, rank: 0, loops: 3, outliers: 0 }
const codecs = (params?: Parameters<typeof gear>[0]): { keys: Codec; values: Codec } => (gear(params).encode as Encoder).classes[0]
const norm = (x: ArrayLike<number>): number => Math.sqrt(Array.from(x).reduce((sum, value) => sum + value * value, 0))

/** left times right transposed. */
function product({ left, right }: ReturnType<typeof lowRank>, rank: number, columns: number): Float64Array {
  return Float64Array.from({ length: (left.length / rank) * columns }, (_, i) => {
    let sum = 0
    for (let r = 0; r < rank; r++) sum += left[Math.floor(i / columns) * rank + r] * right[(i % columns) * rank + r]
    return sum
  })
}

const difference = (a: ArrayLike<number>, b: ArrayLike<number>): Float64Array => Float64Array.from(a, (x, i) => x - b[i])

describe('the low-rank part', () => {
  it('leaves what the example by hand leaves', () => {
    const rest = [2, -1, 0, 0, 4, -2, 0, 0, 2, 1, 0, 0, -0.5, 0, 0.5, 0]
    expect(norm(rest)).toBeCloseTo(5.5227, 4)
    const from = (start: number[], rank: number, loops = 3): number =>
      norm(difference(rest, product(lowRank(rest, 4, rank, loops, start), rank, 4)))
    expect(from([1, 1, 1, 1], 1)).toBeCloseTo(1.7999, 4)
    expect(from([1, 1, 1, 1], 1, 30)).toBeCloseTo(1.7994, 4)
    // The rank of the whole: nothing is left, and the surplus column does no harm.
    const random = createRandom(1)
    for (const rank of [3, 4]) expect(from(Array.from({ length: 4 * rank }, random), rank)).toBeLessThan(1e-9)
  })

  it('never adds to the error, whatever the matrix', () => {
    const numbers = fc.array(fc.float({ min: -100, max: 100, noNaN: true }), { minLength: 3, maxLength: 60 })
    fc.assert(
      fc.property(numbers, fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 6 }), fc.integer(), (base, rows, rank, seed) => {
        const x = Float64Array.from({ length: rows * 16 }, (_, i) => base[(i * 7) % base.length])
        const start = Float64Array.from({ length: 16 * rank }, createRandom(seed))
        const part = product(lowRank(x, 16, rank, 3, start), rank, 16)
        expect(norm(difference(x, part))).toBeLessThanOrEqual(norm(x) * (1 + 1e-9))
      }),
    )
  })
})

describe('gear, against the authors’ code', () => {
  const { cases, tensor } = golden(new URL('data/', import.meta.url), 'gear')
  const [HEADS, TOKENS, DIM] = [4, 96, 16]
  const caseOf = (id: string): (typeof cases)[number] => cases.find((one) => one.id === id)!
  const x = tensor('x').data as Float32Array

  /** What codes alone give back, as [heads][tokens][headDim]: keys by pages of 32 rows, values by groups of 32 of all heads' channels. */
  function codesAlone(axis: 'channel' | 'token', bits: 2 | 4): Float32Array {
    const codec = gearCodec({ ...OPTIONS, axis, bits })
    if (axis === 'channel') {
      const page = 32 * DIM
      return Float32Array.from(
        Array.from({ length: x.length / page }, (_, i) => [...throughCodec(codec, x.slice(i * page, (i + 1) * page), DIM)]).flat(),
      )
    }
    // Tokens of all heads back to heads of tokens: the same exchange of the two, the other way round.
    return concatenated(throughCodec(codec, concatenated(x, HEADS, TOKENS), HEADS * DIM), TOKENS, HEADS)
  }

  for (const id of ['quant_channel_2bit', 'quant_token_2bit', 'quant_channel_4bit', 'quant_token_4bit']) {
    it(`${id}: numbers to what half precision allows`, () => {
      const { args, outputs } = caseOf(id)
      const got = codesAlone(id.includes('channel') ? 'channel' : 'token', args['bits'] as 2 | 4)
      const largest = Math.max(...x.map(Math.abs))
      expectClose(got, tensor(outputs['out']).data, 0, 3 * HALF * largest)
    })
  }

  it('lowrank: the projection, head by head', () => {
    const { inputs, outputs } = caseOf('lowrank')
    const [start, out] = [tensor(inputs['rand0']).data, tensor(outputs['out']).data]
    for (let h = 0; h < HEADS; h++) {
      const own = x.subarray(h * TOKENS * DIM, (h + 1) * TOKENS * DIM)
      const part = product(lowRank(own, DIM, 4, 3, start.subarray(h * DIM * 4, (h + 1) * DIM * 4)), 4, DIM)
      expectClose(part, out.subarray(h * TOKENS * DIM, (h + 1) * TOKENS * DIM), 1e-4, 1e-3)
    }
  })

  for (const id of ['gearl_channel_2bit', 'gearl_token_2bit']) {
    it(`${id}: codes, and the low-rank part of their error`, () => {
      const { inputs, outputs } = caseOf(id)
      const [start, out] = [tensor(inputs['rand0']).data, tensor(outputs['out']).data]
      // Theirs, in float32.
      const codes = tensor(caseOf(id.replace('gearl', 'quant')).outputs['out']).data
      for (let h = 0; h < HEADS; h++) {
        const [from, to] = [h * TOKENS * DIM, (h + 1) * TOKENS * DIM]
        const rest = difference(x.subarray(from, to), codes.subarray(from, to))
        const part = product(lowRank(rest, DIM, 4, 3, start.subarray(h * DIM * 4, (h + 1) * DIM * 4)), 4, DIM)
        expectClose(
          part.map((value, i) => value + codes[from + i]),
          out.subarray(from, to),
          1e-4,
          1e-3,
        )
      }
    })
  }
})

const random = createRandom(3)
const sample = (rows: number, headDim: number): Float32Array =>
  Float32Array.from(
    { length: rows * headDim },
    (_, i) => (random() + random() - 1) * 2 + (i % headDim) / 8 + (random() < 0.01 ? 20 * random() - 10 : 0),
  )

describe('gear’s pages', () => {
  it('give back outliers as they are, and come nearer with each part', () => {
    const x = sample(64, 64)
    for (const part of ['keys', 'values'] as const) {
      const error = (params: Parameters<typeof gear>[0]): number => norm(difference(x, throughCodec(codecs(params)[part], x, 64)))
      const bare = error({ rank: 0, outliers: 0 })
      expect(error({ outliers: 0 })).toBeLessThan(bare)
      expect(error({ rank: 0 })).toBeLessThan(bare)
      expect(error({})).toBeLessThan(Math.min(error({ outliers: 0 }), error({ rank: 0 })))
      expect(error({ rank: 8 })).toBeLessThan(error({}))
      const back = throughCodec(codecs()[part], x, 64)
      for (let line = 0; line < 64; line++) {
        const members = Array.from({ length: 64 }, (_, i) => (part === 'keys' ? i * 64 + line : line * 64 + i))
        const [least, ...others] = [...members].sort((a, b) => x[a] - x[b])
        for (const i of [least, others[others.length - 1]]) expect(Math.abs(back[i] - x[i])).toBeLessThanOrEqual(Math.abs(x[i]) * HALF)
      }
    }
  })

  it('err by half a step of what is left at most, and the low-rank part never adds to the sum of squares', () => {
    const setting = fc.record({
      bits: fc.constantFrom(2 as const, 4 as const, 8 as const),
      axis: fc.constantFrom('channel' as const, 'token' as const),
      count: fc.integer({ min: 1, max: 64 }),
      outliers: fc.constantFrom(0, 0.02, 0.1),
      base: fc.array(fc.float({ min: -100, max: 100, noNaN: true }), { minLength: 5, maxLength: 97 }),
    })
    fc.assert(
      fc.property(setting, ({ bits, axis, count, outliers, base }) => {
        const x = Float32Array.from({ length: count * 32 }, (_, i) => base[(i * 7) % base.length])
        const options = { ...OPTIONS, bits, axis, outliers, rows: 64 }
        const codes = throughCodec(gearCodec(options), x, 32)
        const line = (i: number): number => (axis === 'channel' ? i % 32 : Math.floor(i / 32))
        for (let i = 0; i < x.length; i++) {
          const own = x.filter((_, j) => line(j) === line(i))
          const [low, high] = [Math.min(...own), Math.max(...own)]
          const bound = (high - low) / (2 ** bits - 1) / 2 + 2 * HALF * (Math.max(Math.abs(low), Math.abs(high)) + high - low) + 1e-4
          if (Math.abs(codes[i] - x[i]) > bound) expect({ i, value: codes[i] }).toEqual({ i, value: x[i] })
        }
        const all = throughCodec(gearCodec({ ...options, rank: 2 }), x, 32)
        expect(norm(difference(x, all))).toBeLessThanOrEqual(norm(difference(x, codes)) * 1.01 + 0.01)
      }),
      { numRuns: 40 },
    )
  })

  it('keep every row’s numbers when others leave', () => {
    const kernels = referenceKernels()
    for (const part of ['keys', 'values'] as const) {
      const list = new PageList(kernels, new PagePool(kernels.heap), 32)
      const x = sample(64, 32)
      list.append(64, (first, count, address) => kernels.heap.f32.set(x.subarray(first * 32, (first + count) * 32), address / 4))
      list.pack(64, codecs({ group: 32 })[part])
      const before = list.read()
      const keep = Uint32Array.from({ length: 64 }, (_, i) => i).filter((i) => i % 3 !== 1)
      list.retain(keep)
      expect([...list.read()]).toEqual([...keep].flatMap((row) => [...before.subarray(row * 32, (row + 1) * 32)]))
      list.dispose()
    }
  })

  it('take about a quarter of float16 for heads of 64', () => {
    const { keys, values } = codecs()
    expect((keys.bytes(64, 64) * 8) / 4096).toBe(4.5)
    expect((values.bytes(64, 64) * 8) / 4096).toBe(4.25)
  })

  it('are refused for heads that they cannot hold, and settings that mean nothing', () => {
    expect(() => codecs().keys.pageRows(320)).toThrow(/at most 256/)
    expect(() => gear({ rank: 17 })).toThrow(PolicySyntaxError)
    expect(() => gear({ gap: 65 })).toThrow(/gap/)
  })
})

const SHAPE: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 10_000 } }

describe('gear, in a cache', () => {
  it('reads the prompt whole, and comes nearer to a full cache than codes alone', async () => {
    const errors: number[] = []
    for (const preset of [
      kivi({ residual: 64, group: 64 }),
      gear({ rank: 0, outliers: 0 }),
      gear({ outliers: 0, rank: 4 }),
      gear({ rank: 4 }),
    ]) {
      const { attend, dispose } = besideFull(SHAPE, [preset], 4)
      expect((await attend(200)).most).toBe(0)
      let sum = 0
      for (let step = 0; step < 60; step++) sum += (await attend(1)).mean
      errors.push(sum)
      await dispose()
    }
    // KIVI's values have a tail of 64 here, gear's wait for the 64th.
    expect(errors[1]).toBeLessThan(errors[0] * 1.3)
    expect(errors[2]).toBeLessThan(errors[1])
    expect(errors[3]).toBeLessThan(errors[2])
  })
})

const shape = { ...SHAPE, layers: 2 }
testMethod('gear', () => [gear()], { describe, it }, { shape })
testMethod('gear, short blocks', () => [gear({ gap: 20, rank: 1, bits: 4 })], { describe, it }, { shape })
testMethod('gear, codes alone', () => [gear({ rank: 0, outliers: 0 })], { describe, it }, { shape })
