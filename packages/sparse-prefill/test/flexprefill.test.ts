import { createRandom, PolicySyntaxError, type PrefillAttention, type PrefillView } from '@kvfold/kv-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { activeBlockRatio, blockList, flexprefill, flexPrefillBlocks, type HeadPattern } from '../src/index.ts'
import { covered, coveredIndices, lastBlockAttention, rootJsDivergence, topIndices } from '../src/pooling.ts'
import { attention, pairsOf, prefillView } from './view.ts'

type Params = NonNullable<Parameters<typeof flexprefill>[0]>
const attend = (params?: Params): PrefillAttention => flexprefill(params).attention as PrefillAttention

interface Shape {
  rows: number
  count?: number
  group?: number
  /** How far queries and keys reach: 0 attends evenly. */
  spread?: number
}

function randomView({ rows, count = rows, group = 1, spread = 1 }: Shape, seed = 1): PrefillView {
  const random = createRandom(seed)
  const headDim = 8
  const numbers = (length: number): Float32Array => Float32Array.from({ length }, () => (random() * 4 - 2) * spread)
  return prefillView(numbers(group * count * headDim), numbers(rows * headDim), group, headDim)
}

describe('flexprefill, by hand', () => {
  it('sums columns and diagonals', () => {
    const shares = [
      [0.5, 0.3, 0.2, 0],
      [0.1, 0.2, 0.3, 0.4],
    ]
    const { vertical, slash } = lastBlockAttention(Float32Array.from(shares.flat(), Math.log), 2, 4)
    const round = (x: number): number => Math.round(x * 1e6) / 1e6
    expect([...vertical].map(round)).toEqual([0.3, 0.25, 0.25, 0.2])
    expect([...slash].map(round)).toEqual([0.05, 0.35, 0.3, 0.3])
  })

  it('counts what covers gamma', () => {
    expect(covered(Float64Array.of(0.6, 0.25, 0.1, 0.05), 0.9)).toBe(3)
    expect(covered(Float64Array.of(0.25, 0.05, 0.6, 0.1), 1.01)).toBe(5)
    expect(covered(Float64Array.of(1), 0)).toBe(1)
  })

  it('crosses columns with diagonals', () => {
    const list = blockList({ block: 16, group: 1, count: 64, rows: 64 }, (_, chosen) => {
      for (const column of [0, 2]) chosen.column(column)
      for (const offset of [0, 1]) chosen.diagonal(offset)
    })
    expect(pairsOf(list, 1)[0].map(([r, c]) => `${r}${c}`)).toEqual(['00', '10', '11', '20', '21', '22', '30', '32', '33'])
    expect([...list.offsets]).toEqual([0, 1, 3, 6, 9])
    expect(activeBlockRatio(list, { group: 1, count: 64, rows: 64 })).toBe(9 / 16)
    expect(activeBlockRatio(undefined, { group: 1, count: 64, rows: 64 })).toBe(1)
  })

  it('measures divergence', () => {
    const quarter = Float64Array.of(0.25, 0.25, 0.25, 0.25)
    expect(rootJsDivergence(quarter, Float64Array.of(0.7, 0.1, 0.05, 0.15))).toBeCloseTo(0.3388, 4)
    expect(rootJsDivergence(Float64Array.of(0.6, 0.15, 0.1, 0.15), Float64Array.of(0.62, 0.13, 0.09, 0.16))).toBeCloseTo(0.0255, 4)
    expect(rootJsDivergence(Float64Array.of(1, 0), Float64Array.of(0.5, 0.5))).toBeNaN()
    expect(rootJsDivergence(quarter, quarter)).toBe(0)
  })

  it('keeps the pairs whose running sum stays within the share', () => {
    const map = Float64Array.of(1, 0, 0, 0.7, 0.3, 0, 0.5, 0.1, 0.4)
    expect([...coveredIndices(map, 2.7)]).toEqual([0, 3, 6, 8])
  })

  it('takes the older of equal blocks', () => {
    expect([...topIndices(Float64Array.of(1, 3, 2, 2, 2, 0), 3)]).toEqual([1, 2, 3])
    expect([...topIndices(Float64Array.of(1, 1), 0)]).toEqual([])
    expect([...topIndices(Float64Array.of(0, 0, Infinity), 2)]).toEqual([0, 2])
  })

  it('is dense for short prompts and short chunks', () => {
    expect(attend({ block: 16, minBudget: 1 }).blocks(randomView({ rows: 32 }))).toBeUndefined()
    expect(attend({ block: 16, minBudget: 1 }).blocks(randomView({ rows: 33 }))).toBeDefined()
    expect(attend({ block: 16, minBudget: 50 }).blocks(randomView({ rows: 64 }))).toBeUndefined()
    expect(attend({ block: 16, minBudget: 50 }).blocks(randomView({ rows: 65 }))).toBeDefined()
    expect(attend().blocks(randomView({ rows: 1024 }))).toBeUndefined()
    expect(attend({ block: 16, minBudget: 1 }).blocks(randomView({ rows: 200, count: 15 }))).toBeUndefined()
  })

  it('has the pattern of a head that attends evenly, and of one that looks for one row', () => {
    const patterns = (queries: Float32Array, keys: Float32Array): HeadPattern => {
      const found: HeadPattern[] = []
      const options = flexprefill.params.parse({ block: 16, minBudget: 1 })
      flexPrefillBlocks(prefillView(queries, keys, 1, 2), options, (pattern) => found.push(pattern))
      return found[0]
    }
    const rows = 160
    const ones = new Float32Array(rows * 2).fill(1)
    // Even attention: block means predict it, but for the triangle of the last block.
    expect(patterns(ones, new Float32Array(rows * 2)).queryAware).toBe(true)
    const needle = new Float32Array(rows * 2)
    needle.fill(12, 100, 102)
    const found = patterns(ones, needle)
    expect(found.queryAware).toBe(false)
    expect(found.coverVertical).toBe(1)
    const list = attend({ block: 16, minBudget: 32 }).blocks(prefillView(ones, needle, 1, 2))
    for (let r = 3; r < 10; r++) expect(pairsOf(list as NonNullable<typeof list>, 1)[0]).toContainEqual([r, 3])
  })

  it('refuses settings that mean nothing', () => {
    expect(() => flexprefill({ block: 48 as 64 })).toThrow(PolicySyntaxError)
    expect(() => flexprefill({ gamma: -1 })).toThrow(/gamma/)
    expect(() => flexprefill({ tau: 2 })).toThrow(/tau/)
    expect(() => flexprefill({ minBudget: 0 })).toThrow(/minBudget/)
    expect(flexprefill({ gamma: 0.9 }).text).toBe('flexprefill(gamma=0.9)')
  })
})

describe('flexprefill, on random views', () => {
  // Whole prompts half of the time, later chunks that start anywhere otherwise.
  const views = fc.record({
    seed: fc.nat(),
    rows: fc.integer({ min: 33, max: 230 }),
    share: fc.constantFrom(1, 0.2, 0.5, 0.9, 1),
    group: fc.integer({ min: 1, max: 3 }),
    spread: fc.constantFrom(0, 0.2, 1, 20),
  })
  const build = ({ seed, rows, share, group, spread }: typeof views extends fc.Arbitrary<infer T> ? T : never): PrefillView =>
    randomView({ rows, count: Math.max(16, Math.round(rows * share)), group, spread }, seed)
  const settings = fc.record({
    gamma: fc.double({ min: 0, max: 1.1, noNaN: true }),
    tau: fc.constantFrom(0, 0.1, 0.3, 1),
    minBudget: fc.integer({ min: 1, max: 60 }),
    maxBudget: fc.option(fc.integer({ min: 1, max: 200 }), { nil: undefined }),
  })

  it('gives every query its own block and the first one, nothing later, ascending; head by head as alone', () => {
    fc.assert(
      fc.property(views, settings, (shape, params) => {
        const view = build(shape)
        const { group, count, rows, headDim } = view
        const list = attend({ block: 16, ...params }).blocks(view)
        if (!list) {
          expect(rows).toBeLessThanOrEqual(64)
          return
        }
        expect(list.offsets).toHaveLength(group * (Math.ceil(count / 16) + 1))
        expect(list.offsets[0]).toBe(0)
        expect(list.offsets.at(-1)).toBe(list.indices.length)
        pairsOf(list, group).forEach((pairs, head) => {
          const listed = new Set(pairs.map(([r, c]) => r * 1000 + c))
          for (let i = 0; i < count; i++) {
            const r = Math.floor(i / 16)
            expect(listed.has(r * 1000)).toBe(true)
            expect(listed.has(r * 1000 + Math.floor((rows - count + i) / 16))).toBe(true)
          }
          for (const [r, c] of pairs) expect(c * 16).toBeLessThanOrEqual(rows - count + Math.min(count, r * 16 + 16) - 1)
          const keys = pairs.map(([r, c]) => r * 1000 + c)
          expect(keys).toEqual([...new Set(keys)].sort((a, b) => a - b))
          const queries = view.queries.slice(head * count * headDim, (head + 1) * count * headDim)
          const alone = attend({ block: 16, ...params }).blocks(prefillView(queries, view.keys(), 1, headDim))
          expect(pairsOf(alone as typeof list, 1)[0]).toEqual(pairs)
        })
      }),
      { numRuns: 60 },
    )
  })

  it('spreads all attention over columns and over diagonals', () => {
    fc.assert(
      fc.property(views, (shape) => {
        const view = build(shape)
        const sum = (values: Float64Array): number => values.reduce((a, b) => a + b, 0)
        const { vertical, slash } = lastBlockAttention(view.lastLogits(16).subarray(0, 16 * view.rows), 16, view.rows)
        expect(sum(vertical)).toBeCloseTo(1, 9)
        expect(sum(slash)).toBeCloseTo(1, 9)
      }),
      { numRuns: 60 },
    )
  })

  it('looks at no fewer blocks with a larger gamma or minBudget', () => {
    const count = (view: PrefillView, params: Params): number => attend({ block: 16, ...params }).blocks(view)?.indices.length ?? Infinity
    const more = fc.record({ gamma: fc.double({ min: 0, max: 1, noNaN: true }), rows: fc.nat(60) })
    fc.assert(
      fc.property(views, settings, more, (shape, { gamma, tau, minBudget }, add) => {
        const view = build(shape)
        const rich = count(view, { gamma: gamma + add.gamma, tau, minBudget: minBudget + add.rows })
        expect(rich).toBeGreaterThanOrEqual(count(view, { gamma, tau, minBudget }))
      }),
      { numRuns: 60 },
    )
  })

  it('is dense attention with gamma above 1: whole prompts by their lines, heads of any chunk block by block', () => {
    const isDense = (view: PrefillView, params: Params): void => {
      const { group, count, rows } = view
      const list = attend({ gamma: 1.01, minBudget: 1, ...params }).blocks(view)
      if (!list) throw new Error('dense')
      for (const pairs of pairsOf(list, group)) {
        let all = 0
        for (let end = list.size; end < count + list.size; end += list.size) {
          all += Math.ceil((rows - count + Math.min(count, end)) / list.size)
        }
        expect(pairs).toHaveLength(all)
      }
      const values = Float32Array.from(view.keys(), (x, i) => x + (i % 5))
      const sparse = attention(view, values, list)
      attention(view, values).forEach((y, i) => expect(sparse[i]).toBeCloseTo(y, 9))
    }
    fc.assert(
      fc.property(fc.integer({ min: 257, max: 400 }), fc.nat(), (rows, seed) => {
        isDense(randomView({ rows }, seed), { tau: 0 })
      }),
      { numRuns: 5 },
    )
    fc.assert(
      fc.property(views, (shape) => {
        // Even heads only: where a share underflows, a head falls back to lines.
        isDense(build({ ...shape, rows: shape.rows + 32, spread: 0.2 }), { block: 16, tau: 1 })
      }),
      { numRuns: 10 },
    )
  })
})
