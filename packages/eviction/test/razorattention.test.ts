import { razorattention } from '@kvfold/eviction'
import { createKernels, type ArrayTensor } from '@kvfold/kernels'
import {
  affine,
  compose,
  createRandom,
  defineMethod,
  KvCache,
  parsePolicyText,
  PolicySyntaxError,
  UnsupportedPolicyError,
  type CacheShape,
  type Folder,
  type HeadView,
  type Preset,
} from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { headOf, partsOf } from './support.ts'

const tensor = (heads: number, headDim: number, data: ArrayLike<number>): ArrayTensor => ({
  shape: [heads, data.length / heads / headDim, headDim],
  dtype: 'float32',
  data: Float32Array.from(data),
})

describe('the worked example', () => {
  const shape: CacheShape = { layers: 1, queryHeads: 1, kvHeads: 1, headDim: 2, rope: 'external' }
  const keys = [0, 0, 0.4, 1, 0.2, -1, 1, 0]
  const values = [0, 1, 1, 0, 3, 0, 0, 2]

  /** What a query (1, 0), unscaled, reads after a prompt of the four tokens. Its own key lies so far off that it does not count. */
  async function read(...presets: Preset[]): Promise<number[]> {
    const cache = new KvCache(shape, { policy: compose(...presets), kernels: createKernels() })
    await cache.layer(0).attend({ q: tensor(1, 2, new Float32Array(8)), k: tensor(1, 2, keys), v: tensor(1, 2, values) })
    const step = { q: tensor(1, 2, [Math.SQRT2, 0]), k: tensor(1, 2, [-1000, 0]), v: tensor(1, 2, [9, 9]) }
    const out = (await cache.layer(0).attend(step)) as ArrayTensor
    await cache.dispose()
    return Array.from(out.data)
  }

  it.each([
    ['the full cache', [], [0.8017, 1.0008]],
    ['with the weight', [razorattention({ budget: 3, sinks: 1 })], [0.8413, 1.0029]],
    ['without the weight', [razorattention({ budget: 3, sinks: 1, weighted: false })], [0.5327, 1.27]],
    ['plain dropping', [razorattention({ budget: 2, sinks: 1, compensation: false })], [0, 1.7311]],
  ])('%s', async (_name, presets, expected) => {
    const out = await read(...presets)
    for (const [i, value] of expected.entries()) expect(Math.abs(out[i] - value)).toBeLessThan(1e-4)
  })

  it('is planned as one row for the two that leave', () => {
    const columns = {}
    const head = headOf(4, undefined, columns)
    const [plan] = fold(razorattention({ sinks: 1 })).fold([{ kept: Uint32Array.of(0, 2, 3), left: Uint32Array.of(1), head }], {})
    expect([...plan!.from, ...plan!.into]).toEqual([2, 1, 2, 2])
    expect([...plan!.weights]).toEqual([0.5, 0.5])
    expect(columns).toEqual({ folded: Float32Array.of(0, 0, 2, 0), bias: Float32Array.of(0, 0, Math.log(2), 0) })
  })
})

function fold(preset: Preset): Folder {
  return partsOf(preset).fold!
}

describe('the compensation row', () => {
  it('is the mean of all that left, however they came', () => {
    const setting = fc.record({
      rows: fc.integer({ min: 9, max: 30 }),
      room: fc.integer({ min: 1, max: 5 }),
      cuts: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 8 }),
    })
    fc.assert(
      fc.property(setting, ({ rows, room, cuts }) => {
        const sinks = 2
        const preset = razorattention({ sinks })
        const columns: Record<string, Float32Array> = { folded: new Float32Array(rows), bias: new Float32Array(rows) }
        // Each row holds its position, so that the mean is known.
        let positions = Array.from({ length: rows }, (_, i) => i)
        let data = Float64Array.from(positions)
        let next = rows
        for (const more of [0, ...cuts]) {
          const grow = (old: Float32Array): Float32Array => Float32Array.of(...old, ...new Float32Array(more))
          for (const name of ['folded', 'bias']) columns[name] = grow(columns[name])
          positions.push(...Array.from({ length: more }, (_, i) => next + i))
          data = Float64Array.from([...data, ...positions.slice(data.length)])
          next += more
          const head = headOf(positions.length, positions, columns)
          const scores = partsOf(preset).score!.score({ moment: 'decode', group: 1 }, head)
          const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a] || b - a)
          const kept = Uint32Array.from(order.slice(0, sinks + 1 + room)).sort()
          const left = Uint32Array.from(positions.keys()).filter((row) => !kept.includes(row))
          const [plan] = fold(preset).fold([{ kept, left, head }], {})
          if (plan) data[plan.into[0]] = plan.from.reduce((sum, row, i) => sum + plan.weights[i] * data[row], 0)
          positions = Array.from(kept, (row) => positions[row])
          data = Float64Array.from(kept, (row) => data[row])
          for (const name of ['folded', 'bias']) columns[name] = Float32Array.from(kept, (row) => columns[name][row])
        }
        expect(positions.slice(0, sinks)).toEqual([0, 1])
        expect(positions.slice(sinks + 1)).toEqual(Array.from({ length: room }, (_, i) => next - room + i))
        const gone = next - room - sinks
        expect(columns['folded'][sinks]).toBe(gone)
        expect(columns['bias'][sinks]).toBeCloseTo(Math.log(gone), 5)
        // The mean of positions 2, 3, ... next - room - 1.
        expect(data[sinks]).toBeCloseTo((sinks + next - room - 1) / 2, 3)
      }),
    )
  })

  it('takes nothing once it is packed, nor does it come into being', () => {
    const packed: HeadView = { ...headOf(6, undefined, { folded: Float32Array.of(0, 3, 0, 0, 0, 0) }), foldable: (row) => row > 2 }
    const leaving = { kept: Uint32Array.of(0, 1, 4, 5), left: Uint32Array.of(2, 3), head: packed }
    expect(fold(razorattention({ sinks: 1 })).fold([leaving], {})).toEqual([undefined])
    const columns = { folded: new Float32Array(6) }
    const fresh = { ...leaving, head: { ...headOf(6, undefined, columns), foldable: () => false } }
    expect(fold(razorattention({ sinks: 1 })).fold([fresh], {})).toEqual([undefined])
    expect([...columns.folded]).toEqual([0, 0, 0, 0, 0, 0])
  })

  it('is never the newest row', () => {
    const leaving = { kept: Uint32Array.of(0, 5), left: Uint32Array.of(1, 2, 3, 4), head: headOf(6) }
    expect(fold(razorattention({ sinks: 1 })).fold([leaving], {})).toEqual([undefined])
  })

  it('retrieval heads have none', () => {
    const leaving = { kept: Uint32Array.of(0, 2, 3), left: Uint32Array.of(1), head: headOf(4) }
    expect(fold(razorattention({ sinks: 1, heads: '0.0' })).fold([leaving], {})).toEqual([undefined])
    expect(fold(razorattention({ sinks: 1, heads: '1.0 0.1' })).fold([leaving], {})[0]).toBeDefined()
  })
})

const SHAPE: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 16, rope: 'external' }

interface Run {
  /** [call][layer], [queryHead][headDim] of a call's last token. */
  out: Float32Array[][]
  rows: number[]
  positions: number[][]
}

/** `same`: all keys of a head are equal, but for the first and the last few tokens. */
async function run(presets: Preset[], prompt: number, steps: number, same = false): Promise<Run> {
  const cache = new KvCache(SHAPE, { policy: compose(...presets), kernels: createKernels(), trace: true })
  const random = createRandom(11)
  const draw = (heads: number, n: number): ArrayTensor =>
    tensor(
      heads,
      16,
      Array.from({ length: heads * n * 16 }, () => random() * 4 - 2),
    )
  const out: Float32Array[][] = []
  const rows: number[] = []
  for (let step = 0; step <= steps; step++) {
    const n = step === 0 ? prompt : 1
    out.push([])
    for (let layer = 0; layer < SHAPE.layers; layer++) {
      const [q, k, v] = [draw(4, n), draw(2, n), draw(2, n)]
      if (same) (k.data as Float32Array).forEach((_, i, all) => (all[i] = Math.floor(i / 16) % n < 4 && n > 1 ? all[i] : Math.sin(i % 16)))
      const { data } = (await cache.layer(layer).attend({ q, k, v })) as ArrayTensor
      out[step].push(Float32Array.from({ length: 64 }, (_, i) => data[(Math.floor(i / 16) * n + n - 1) * 16 + (i % 16)]))
    }
    rows.push(cache.ledger().rows)
  }
  const last = cache.trace!.plans.findLast(({ layer }) => layer === 1)
  const positions = last ? last.heads.map(({ keep }, h) => Array.from(keep, (row) => last.positions[h][row])) : []
  await cache.dispose()
  return { out, rows, positions }
}

const distance = (a: Float32Array, b: Float32Array): number => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0)

describe('in a cache', () => {
  it('equals the full cache if all keys that left are equal, with the weight only', async () => {
    const full = await run([], 60, 30, true)
    const worst = async (weighted: boolean): Promise<number> => {
      const { out } = await run([razorattention({ budget: 12, weighted })], 60, 30, true)
      return Math.max(...out.flatMap((layers, step) => layers.map((one, layer) => distance(one, full.out[step][layer]))))
    }
    expect(await worst(true)).toBeLessThan(1e-5)
    expect(await worst(false)).toBeGreaterThan(0.05)
  })

  it('retrieval heads read what a full cache holds, bit for bit; the others the first, the newest and one row', async () => {
    const full = await run([], 100, 40)
    const razor = await run([razorattention({ budget: 60, heads: '1.0' })], 100, 40)
    for (let step = 1; step <= 40; step++) {
      const [mine, theirs] = [razor.out[step][1], full.out[step][1]]
      expect(mine.subarray(0, 32)).toEqual(theirs.subarray(0, 32))
      expect(mine.subarray(32)).not.toEqual(theirs.subarray(32))
    }
    // (4 * 60 - 164) / 3 rows are left for each of the three others.
    const [retrieving, other] = razor.positions
    expect(retrieving).toHaveLength(140)
    expect(other).toHaveLength(25)
    expect(other.slice(0, 4)).toEqual([0, 1, 2, 3])
    expect(other.slice(5)).toEqual(Array.from({ length: 20 }, (_, i) => 120 + i))
    expect(razor.rows.at(-1)).toBe(140 + 3 * 25)
  })

  it('a retrieval head without room keeps the first and the newest', async () => {
    const { positions, rows } = await run([razorattention({ budget: 20, heads: '1.0' })], 100, 6)
    expect(rows.at(-1)).toBe(80)
    const [retrieving, other] = positions
    expect(other).toHaveLength(6)
    expect(retrieving).toEqual([0, 1, 2, 3, ...Array.from({ length: 58 }, (_, i) => 48 + i)])
  })

  it('changes nothing within the budget, or by the paper’s rule in a short text', async () => {
    const full = await run([], 40, 10)
    for (const preset of [razorattention({ budget: 50 }), razorattention(), razorattention({ heads: '0.1' })])
      expect((await run([preset], 40, 10)).out).toEqual(full.out)
  })

  it('over packed rows, what leaves later is dropped', async () => {
    const packing = defineMethod({
      name: 'packing',
      axes: ['encode'],
      summary: 'packs all rows',
      params: z.object({}),
      create: () => {
        const codec = affine({ bits: 8, axis: 'token', group: 16 })
        const rule = { keep: 0, step: 1 }
        return { encode: { classes: [{ name: 'packed', keys: codec, values: codec }], flush: { keys: rule, values: rule } } }
      },
    })
    const { out, positions } = await run([razorattention({ budget: 12 }), packing()], 60, 10)
    expect(positions[0]).toEqual([0, 1, 2, 3, 52, ...Array.from({ length: 7 }, (_, i) => 63 + i)])
    const raw = await run([razorattention({ budget: 12 })], 60, 10)
    expect(distance(out[1][0], raw.out[1][0])).toBeLessThan(0.05)
    expect(distance(out[10][0], raw.out[10][0])).toBeGreaterThan(0.05)
  })
})

describe('the shares of a budget', () => {
  const allocate = (preset: Preset, rows: number, seen: number, layers = 4, kvHeads = 5): number[][] => {
    const stats = Array.from({ length: layers }, (_, layer) => ({ layer, rows: [], measure: 0, scores: [] }))
    return partsOf(preset).budget!.allocate(stats, { rows, layers, kvHeads, seen })
  }

  it('by the paper’s rule: a fifth of the tokens, at least 4000', () => {
    expect(allocate(razorattention({ heads: '1.1' }), 9, 1000, 2, 2)).toEqual([
      [4005, 4005],
      [4005, Infinity],
    ])
    expect(allocate(razorattention({ sinks: 2 }), 9, 50_000, 1, 1)).toEqual([[10_003]])
  })

  it('never exceed the budget; retrieval heads hold everything before others get more than the least', () => {
    const setting = fc.record({
      rows: fc.integer({ min: 1, max: 400 }),
      seen: fc.integer({ min: 1, max: 500 }),
      heads: fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 4 })), { selector: String }),
    })
    fc.assert(
      fc.property(setting, ({ rows, seen, heads }) => {
        const names = heads.map((head) => head.join('.'))
        const budgets = allocate(razorattention({ budget: rows, heads: names.join(' ') }), rows, seen)
        const all = budgets.flatMap((layer, l) => layer.map((own, h) => ({ own, retrieving: names.includes(`${l}.${h}`) })))
        expect(all.reduce((sum, { own }) => sum + own, 0)).toBeLessThanOrEqual(20 * rows)
        for (const { own, retrieving } of all) {
          expect(own).toBeGreaterThanOrEqual(retrieving || rows < 6 ? Math.min(rows, 1) : 6)
          if (retrieving && own < seen + 64)
            for (const other of all) if (!other.retrieving) expect(other.own).toBeLessThanOrEqual(Math.min(rows, 6))
        }
      }),
    )
  })

  it('refuses heads that the model does not have, and texts that name none', () => {
    expect(() => allocate(razorattention({ heads: '4.0' }), 9, 9)).toThrow(UnsupportedPolicyError)
    expect(() => allocate(razorattention({ heads: '0.5' }), 9, 9)).toThrow(/0\.5.*4 layers of 5 KV heads/)
    for (const heads of ['1', '1.2,3.4', '1.-2', 'all']) expect(() => razorattention({ heads })).toThrow(PolicySyntaxError)
    expect(() => razorattention({ heads: 0.1 as unknown as string })).toThrow(/quoted/)
    expect(() => allocate(razorattention({ heads: ' 0.04  3.1 ' }), 9, 9)).not.toThrow()
  })
})

it('says its heads so that its text gives the same policy again', () => {
  for (const heads of ['0.1 1.0', '0.10', '']) {
    const { text } = razorattention({ heads })
    expect(parsePolicyText(text)).toEqual([{ method: 'razorattention', params: { heads } }])
    expect(text).toBe(`razorattention(heads="${heads}")`)
  }
})

it('takes the newest row before sinks when there is room for little', () => {
  const kept = (rows: number): number[] => {
    const scores = partsOf(razorattention()).score!.score({ moment: 'decode', group: 1 }, headOf(9))
    return [...scores.keys()].filter((row) => scores[row] === Infinity).slice(-rows)
  }
  expect([kept(1), kept(3)]).toEqual([[8], [2, 3, 8]])
})

testMethod('razorattention', () => [razorattention({ budget: 48, heads: '0.1' })], { describe, it })
testMethod('razorattention, tight', () => [razorattention({ budget: 8, heads: '0.1 1.0' })], { describe, it })
testMethod('razorattention, a share, as deployed', () => [razorattention({ budget: '25%', heads: '1.1', weighted: false })], {
  describe,
  it,
})
testMethod('razorattention, dropping', () => [razorattention({ budget: 40, compensation: false })], { describe, it })
testMethod('razorattention, the paper’s rule', () => [razorattention({ heads: '0.0' })], { describe, it })
