import { scissorhands, snapkv } from '@kvfold/eviction'
import { type ArrayTensor, ownHeap, referenceKernels } from '@kvfold/kernels'
import { type CacheShape, compose, createRandom, KvCache, type HeadView, type Preset } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  ascending,
  attention,
  cases,
  excess,
  headOf,
  isAscending,
  keep,
  lastAxis,
  newest,
  partsOf,
  prompts,
  promptSeen,
  readGolden,
  softmax,
  stepSeen,
} from './support.ts'

const LOW = ['low0', 'low1', 'low2', 'low3']

/** How often each row was found unimportant. */
function lows(columns: Record<string, Float32Array>, rows: number): number[] {
  return Array.from({ length: rows }, (_, j) => LOW.reduce((sum, name) => sum + (columns[name]?.[j] ?? 0), 0))
}

describe('the worked example', () => {
  const queries = [
    [0.4, 0.05, 0.3, 0.05, 0.2, 0, 0],
    [0.35, 0.05, 0.1, 0.1, 0.2, 0.2, 0],
    [0.3, 0.05, 0.2, 0.05, 0.1, 0.1, 0.2],
  ]
  const preset = scissorhands({ window: 4, recent: 2 })

  it('as the last queries of a prompt: three of seven rows leave, over a budget of six', () => {
    const columns = {}
    const head = headOf(7, undefined, columns)
    expect(keep(preset, promptSeen([queries]), head, 6)).toEqual([0, 4, 5, 6])
    expect(lows(columns, 7)).toEqual([0, 3, 1, 3, 1, 1, 0])
    expect([...preset.score!.score(promptSeen([queries]), headOf(7))]).toEqual([0, -3, -1, -3, -1, Infinity, Infinity])
  })

  it('as three steps', () => {
    let columns: Record<string, Float32Array> = Object.fromEntries(LOW.map((name) => [name, new Float32Array(4)]))
    let head: HeadView | undefined
    for (const [i, query] of queries.entries()) {
      const rows = 5 + i
      columns = Object.fromEntries(LOW.map((name) => [name, Float32Array.of(...columns[name], 0)]))
      head = headOf(rows, undefined, columns)
      preset.score!.score(stepSeen([query.slice(0, rows)]), head)
    }
    expect(lows(columns, 7)).toEqual([0, 3, 1, 3, 1, 1, 0])
  })

  it('compares with 1 over the tokens seen, not over the rows that are left', () => {
    const columns = {}
    preset.score!.score(stepSeen([[0.04, 0.1, 0.2, 0.66]]), { ...headOf(4, undefined, columns), seen: 20 })
    expect(lows(columns, 4)).toEqual([1, 0, 0, 0])
  })

  it('a group: each query head counts', () => {
    const columns = {}
    preset.score!.score(promptSeen([queries, queries]), headOf(7, undefined, columns))
    expect(lows(columns, 7)).toEqual([0, 6, 2, 6, 2, 2, 0])
  })
})

// Its reading of the method: attention summed, as a heavy hitter's.
describe('Zefan-Cai/KVCache-Factory, which reads the paper in another way', () => {
  const { args, outputs } = cases.find(({ id }) => id === 'scissorhands')!
  const golden = readGolden('kvcf_scissorhands')
  const heads = attention(golden['q'], golden['k'], 96)

  it.each([0, 1, 2, 3])('query head %i: the same attention of the last queries, and the same newest rows; other scores', (h) => {
    const sums = (window: number, j: number): number => heads[h].slice(-window).reduce((sum, query) => sum + query[j], 0)
    const importance = Float64Array.from({ length: 96 }, (_, j) => 0.9 * sums(16, j) + sums(8, j))
    expect(excess(importance, lastAxis(golden[outputs['importance']], h), 1e-5, 1e-6)).toBeLessThanOrEqual(0)
    const columns = {}
    const recent: number = args['recent_size']
    const preset = scissorhands({ window: 16, recent, drop: 0 })
    const ours = keep(preset, promptSeen([heads[h].slice(-16)]), headOf(96, undefined, columns), args['token_budget'])
    const theirs = ascending(lastAxis(golden[outputs['kept']], h))
    for (const kept of [ours, theirs]) expect(kept.slice(-recent)).toEqual(newest(96, recent))
    expect(ours).not.toEqual(theirs)
    // Query 96 starts a quarter, so that of a window of 16 the last 13 count.
    const plain = Array.from({ length: 96 }, (_, j) => heads[h].slice(-13).filter((query, i) => j <= 83 + i && query[j] < 1 / 96).length)
    expect(lows(columns, 96)).toEqual(plain)
  })
})

describe('the record', () => {
  it('spans the last three quarters of the window to all of it, whether queries come in a prompt or as steps', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 4, max: 24 }),
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 0, max: 40 }),
        (window, first, steps) => {
          const preset = scissorhands({ window, recent: 0 })
          // Row 0 is never looked at by anyone: its count is the number of queries that the record holds.
          const queries = Array.from({ length: Math.min(first, window) }, () => new Float32Array(first))
          let columns: Record<string, Float32Array> = Object.fromEntries(LOW.map((name) => [name, new Float32Array(first)]))
          preset.score!.score(promptSeen([queries]), headOf(first, undefined, columns))
          for (let rows = first + 1; rows <= first + steps; rows++) {
            columns = Object.fromEntries(LOW.map((name) => [name, Float32Array.of(...columns[name], 0)]))
            preset.score!.score(stepSeen([new Float32Array(rows)]), headOf(rows, undefined, columns))
          }
          const [held] = lows(columns, 1)
          const all = first + steps
          expect(held).toBeLessThanOrEqual(Math.min(window, all))
          expect(held).toBeGreaterThanOrEqual(Math.min(Math.floor((3 * window) / 4), all))
          // A row is not found unimportant by queries from before its time.
          expect(lows(columns, all)).toEqual(Array.from({ length: all }, (_, j) => Math.min(held, all - j)))
        },
      ),
    )
  })

  it('forgets what was before: a row that was quiet in an older window only is as good as any', () => {
    const preset = scissorhands({ window: 8, recent: 0 })
    let columns: Record<string, Float32Array> = Object.fromEntries(LOW.map((name) => [name, new Float32Array(8)]))
    const flat = (rows: number, quiet: number[]): Float64Array =>
      softmax(Float64Array.from({ length: rows }, (_, j) => (quiet.includes(j) ? -9 : 0)))
    preset.score!.score(promptSeen([Array.from({ length: 8 }, () => flat(8, [1]))]), headOf(8, undefined, columns))
    expect(lows(columns, 8)[1]).toBe(7)
    for (let rows = 9; rows <= 16; rows++) {
      columns = Object.fromEntries(LOW.map((name) => [name, Float32Array.of(...columns[name], 0)]))
      preset.score!.score(stepSeen([flat(rows, [2])]), headOf(rows, undefined, columns))
    }
    const [, one, two] = lows(columns, 16)
    expect(one).toBe(0)
    expect(two).toBeGreaterThanOrEqual(6)
  })
})

describe('the selector', () => {
  const select = (scores: number[], rows: number, drop: number, recent = 0): number[] =>
    Array.from(partsOf(scissorhands({ drop, recent })).select!.select(Float32Array.from(scores), rows, headOf(scores.length)))

  it('drops half the budget at once, the older of equals first', () => {
    expect(select([0, -2, -1, -1, 0, -1, 0], 6, 0.5)).toEqual([0, 4, 5, 6])
    expect(select([-1, -1, -1, -1, -1], 4, 0.25)).toEqual([1, 2, 3, 4])
    expect(select([-1, -1, -1], 3, 0.5)).toEqual([0, 1, 2])
    expect(select([NaN, -5, -9, -1], 3, 0)).toEqual([1, 2, 3])
  })

  it('keeps min(budget, rows - floor(drop * budget)) rows, the newest among them', () => {
    const setting = fc.record({
      budget: fc.integer({ min: 1, max: 30 }),
      drop: fc.double({ min: 0, max: 1, noNaN: true }),
      recent: fc.integer({ min: 0, max: 6 }),
    })
    fc.assert(
      fc.property(prompts(40, 8), setting, ({ rows, heads }, { budget, drop, recent }) => {
        const kept = keep(scissorhands({ window: 8, drop, recent }), promptSeen(heads), headOf(rows), budget)
        expect(isAscending(kept, rows)).toBe(true)
        const count = Math.max(Math.min(budget, rows - Math.floor(drop * budget)), Math.min(budget, recent))
        expect(kept).toHaveLength(rows <= budget ? rows : count)
        const last = newest(rows, Math.min(recent, budget))
        expect(last.length === 0 ? [] : kept.slice(-last.length)).toEqual(last)
      }),
    )
  })
})

describe('in a cache', () => {
  const SHAPE: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 16, rope: { theta: 1e4 } }

  async function run(presets: Preset[], prompt: number, steps: number) {
    const cache = new KvCache(SHAPE, { policy: compose(...presets), kernels: referenceKernels(ownHeap()), trace: true })
    const random = createRandom(5)
    const tensor = (heads: number, n: number): ArrayTensor => ({
      shape: [heads, n, 16],
      dtype: 'float32',
      data: Float32Array.from({ length: heads * n * 16 }, () => random() * 6 - 3),
    })
    const rows: number[] = []
    const out: Float32Array[] = []
    for (let step = 0; step <= steps; step++) {
      const n = step === 0 ? prompt : 1
      const result = (await cache.layer(0).attend({ q: tensor(4, n), k: tensor(2, n), v: tensor(2, n) })) as ArrayTensor
      out.push(result.data.slice())
      rows.push(cache.ledger().rows / 2)
    }
    const plans = cache.trace!.plans
    await cache.dispose()
    return { rows, out, plans }
  }

  it('saw-tooths between half the budget and the budget', async () => {
    const { rows, plans } = await run([scissorhands({ budget: 20, recent: 4 })], 60, 45)
    expect(rows).toEqual(rows.map((_, step) => (step === 0 ? 20 : 11 + ((step - 1) % 10))))
    for (const { heads } of plans.slice(1)) for (const { keep: kept } of heads) expect(kept).toHaveLength(11)
    // Heads judge for themselves.
    expect(plans.some(({ heads }) => heads[0].keep.some((row, i) => row !== heads[1].keep[i]))).toBe(true)
  })

  it('leaves everything alone within the budget', async () => {
    const cut = await run([scissorhands({ budget: 60 })], 40, 20)
    expect(cut.plans).toEqual([])
    expect(cut.out).toEqual((await run([], 40, 20)).out)
  })
})

it('brings budget and selector along, for others to replace', () => {
  expect(scissorhands().fallback?.budget?.size).toEqual({ ratio: 0.5 })
  expect(scissorhands({ budget: 99 }).budget?.size).toEqual({ tokens: 99 })
  expect(scissorhands().select).toBeUndefined()
  expect(() => compose(scissorhands(), snapkv())).toThrow(/both decide/)
})

testMethod('scissorhands', () => [scissorhands({ budget: 40, window: 16 })], { describe, it })
testMethod('scissorhands, out of step with the laws', () => [scissorhands({ budget: 48, window: 8 })], { describe, it })
testMethod('scissorhands, a share, a row at a time', () => [scissorhands({ budget: '25%', window: 30, drop: 0, recent: 3 })], {
  describe,
  it,
})
testMethod('scissorhands, as it comes', () => [scissorhands()], { describe, it })
