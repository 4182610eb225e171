import { snapkv } from '@kvfold/eviction'
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
  promptSeen,
  prompts,
  readGolden,
} from './support.ts'

describe('the worked example', () => {
  // The window's own two columns take what is left of each row.
  const queries = [
    [0.1, 0.02, 0.3, 0.04, 0.02, 0.12, 0.4, 0],
    [0.2, 0.02, 0.2, 0.02, 0.06, 0.1, 0.2, 0.2],
  ]
  const seen = promptSeen([queries])
  const scores = (kernel: number, pooling: 'avg' | 'max') =>
    Array.from(snapkv({ window: 2, kernel, pooling }).score!.score(seen, headOf(8)))

  it.each([
    [3, 'avg', [0.113333, 0.28, 0.2, 0.213333, 0.12, 0.1], [1, 2, 3, 6, 7]],
    [3, 'max', [0.3, 0.5, 0.5, 0.5, 0.22, 0.22], [1, 2, 3, 6, 7]],
    [1, 'avg', [0.3, 0.04, 0.5, 0.06, 0.08, 0.22], [0, 2, 5, 6, 7]],
  ] as const)('kernel %i, %s', (kernel, pooling, expected, kept) => {
    const ours = scores(kernel, pooling)
    expect(excess(ours.slice(0, 6), expected, 0, 1e-6)).toBeLessThanOrEqual(0)
    expect(ours.slice(6)).toEqual([Infinity, Infinity])
    expect(keep(snapkv({ window: 2, kernel, pooling }), seen, headOf(8), 5)).toEqual(kept)
  })
})

describe('published implementations', () => {
  for (const { id, file, source, args, inputs, outputs } of cases) {
    const { window_size: window, kernel_size: kernel } = args
    if (window === undefined || kernel === undefined) continue
    it(`${source.repo} ${id}`, () => {
      const golden = readGolden(file)
      const press = file === 'kvpress_scorers'
      const given = press ? readGolden(`kvpress_inputs_l${args['layer']}`) : golden
      const [q, k] = press ? [given['q_post'], given['k_post']] : [given[inputs['q']], given[inputs['k']]]
      const perQuery = args['mode'] === 'query_head'
      const pooling = args['pooling'] === 'maxpool' ? 'max' : 'avg'
      const preset = snapkv({ window, kernel, pooling, group: args['gqa_score_agg'] === 'max' ? 'max' : 'mean' })
      const rows = press ? 48 : (args['max_capacity_prompt'] as number)
      const all = attention(q, k, window)
      const heads = perQuery ? all.map((queries) => [queries]) : [all.slice(0, 2), all.slice(2)]
      heads.forEach((group, h) => {
        const seen = promptSeen(group)
        const kept = keep(preset, seen, headOf(96), rows)
        const theirs = ascending(lastAxis(golden[outputs['kept']], h))
        if (!outputs['scores']) return expect(kept).toEqual(theirs)
        // kvpress takes the mean over the window, and the group's sum is a setting of KVCache-Factory.
        const scale = press ? 1 / window : args['gqa_score_agg'] === 'sum' ? 2 : 1
        const prefix = (scores: ArrayLike<number>) => Array.from(scores).slice(0, 96 - window)
        const scores = prefix(preset.score!.score(seen, headOf(96)))
        const expected = prefix(lastAxis(golden[outputs['scores']], h))
        expect(
          excess(
            scores.map((s) => s * scale),
            expected,
            1e-5,
            2e-6,
          ),
        ).toBeLessThanOrEqual(0)
        // Max pooling makes plateaus, and which of equals stays is arbitrary: there the kept scores must be the same.
        if (pooling === 'avg') expect(kept).toEqual(theirs)
        else {
          const chosen = (indices: number[]) => indices.map((i) => expected[i] ?? Infinity).sort((a, b) => a - b)
          expect(chosen(kept)).toEqual(chosen(theirs))
        }
      })
    })
  }
})

describe('any prompt', () => {
  const settings = fc.record({
    budget: fc.integer({ min: 1, max: 50 }),
    kernel: fc.constantFrom(1, 3, 5, 7),
    pooling: fc.constantFrom('avg' as const, 'max' as const),
    group: fc.constantFrom('mean' as const, 'max' as const),
  })

  it('keeps min(rows, budget) rows, the newest of the window among them', () => {
    fc.assert(
      fc.property(prompts(40, 7), settings, ({ rows, window, heads }, { budget, ...options }) => {
        const preset = snapkv({ ...options, window: 7 })
        const kept = keep(preset, promptSeen(heads), headOf(rows), budget)
        expect(isAscending(kept, rows)).toBe(true)
        expect(kept).toHaveLength(Math.min(rows, budget))
        const recent = newest(rows, Math.min(window, budget))
        expect(kept.slice(-recent.length)).toEqual(recent)
        expect(keep(preset, promptSeen(heads), headOf(rows), budget)).toEqual(kept)
        expect(keep(preset, promptSeen(heads), headOf(rows), rows)).toEqual(newest(rows, rows))
      }),
    )
  })

  it('does not care about the order of the query heads', () => {
    fc.assert(
      fc.property(prompts(40, 7), settings, ({ rows, heads }, { kernel, pooling, group }) => {
        const scores = (order: typeof heads) => snapkv({ kernel, pooling, group, window: 7 }).score!.score(promptSeen(order), headOf(rows))
        const [ours, turned] = [scores(heads), scores(heads.toReversed())]
        for (let j = 0; j < rows; j++) expect(ours[j] === turned[j] || Math.abs(ours[j] - turned[j]) <= 1e-6 * ours[j]).toBe(true)
      }),
    )
  })
})

describe('edges', () => {
  it('takes NaN for the least', () => {
    const seen = promptSeen([[[NaN, 0.3, 0.1, 0.1, 0.1, 0.4]]])
    expect(keep(snapkv({ window: 1, kernel: 1 }), seen, headOf(6), 3)).toEqual([1, 2, 5])
  })

  it('takes no rows', () => {
    expect(keep(snapkv(), promptSeen([[]]), headOf(0), 3)).toEqual([])
  })

  it('refuses an even kernel, names what is missing', () => {
    expect(() => snapkv({ kernel: 4 })).toThrow(/kernel.*odd/)
    expect(() => snapkv().score!.score({ moment: 'prefill', group: 1 }, headOf(4))).toThrow(/windowAttention/)
  })

  it('claims the budget only if given one', () => {
    expect(snapkv({ budget: 64 }).budget?.size).toEqual({ tokens: 64 })
    expect(snapkv().budget).toBeUndefined()
    expect(snapkv().fallback?.budget?.size).toEqual({ tokens: 2048 })
    expect(snapkv({ budget: 64, window: 16, kernel: 7 }).text).toBe('snapkv(budget=64, window=16, kernel=7)')
  })
})
