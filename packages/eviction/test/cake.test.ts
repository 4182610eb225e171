import { topRows } from '@kvfold/kv-core'
import { cake } from '@kvfold/eviction'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { adjustBudgets } from '../src/cake-budgets.ts'
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
  stepSeen,
} from './support.ts'

/** Allocates after each layer, as a cascade does: [stage][layer], one KV head. */
function cascade(preset: ReturnType<typeof cake>, measures: readonly number[], tokens: number, rows: number): number[][] {
  const layers = measures.length
  return measures.map((_, m) => {
    const seen = measures.slice(0, m + 1).map((measure, layer) => ({ layer, rows: [tokens], measure, scores: [] }))
    return preset.budget!.allocate(seen, { rows, layers, kvHeads: 1, seen: tokens }).map(([own]) => own)
  })
}

describe('the worked example', () => {
  const layers = [
    [
      [0.3, 0.1, 0.1, 0.1, 0.05, 0.05, 0.3, 0],
      [0.05, 0.1, 0.3, 0.1, 0.05, 0.1, 0.2, 0.1],
    ],
    [
      [0.6, 0.05, 0.05, 0.05, 0.05, 0.05, 0.15, 0],
      [0.5, 0.15, 0.05, 0.05, 0.05, 0.05, 0.1, 0.05],
    ],
  ]
  const measures = (preset: ReturnType<typeof cake>) =>
    layers.map((queries) => preset.budget!.measure!([{ seen: promptSeen([queries]), head: headOf(8) }]))

  it('prefers the layer with unsteady attention', () => {
    const preset = cake({ window: 2, tau1: 1, tau2: 4 })
    expect(excess(measures(preset), [1.293895, 0.722807], 0, 2e-6)).toBeLessThanOrEqual(0)
    expect(cascade(preset, measures(preset), 8, 5)).toEqual([[8], [6, 4]])
    const plain = cake({ window: 2 })
    expect(excess(measures(plain), [2.703081 * 0.0525, 2.285716 * 0.01], 0, 1e-6)).toBeLessThanOrEqual(0)
    expect(cascade(plain, measures(plain), 8, 5)[1]).toEqual([8, 2])
  })

  it.each([
    [0, [0.095, 0.115, 0.125, 0.105, 0.085, 0.045], [1, 2, 3, 6, 7]],
    [200, [2.145, 2.165, 2.175, 0.955, 0.935, 0.095], [0, 1, 2, 6, 7]],
  ])('indicator with gamma %i', (gamma, expected, kept) => {
    const preset = cake({ window: 2, gamma })
    const scores = partsOf(preset).score!.score(promptSeen([layers[0]]), headOf(8))
    expect(excess(scores.slice(0, 6), expected, 0, 1e-6)).toBeLessThanOrEqual(0)
    expect(keep(preset, promptSeen([layers[0]]), headOf(8), 5)).toEqual(kept)
  })
})

describe('antgroup/cakekv', () => {
  const golden = readGolden('cake')
  it.each(cases.filter(({ file, id }) => file === 'cake' && id.startsWith('prefill')))('$id', ({ id, args, values }) => {
    const { window_size: window, cache_size: rows, gamma, tau1, tau2 } = args
    const preset = cake({ budget: rows, window, gamma, tau1, tau2 })
    const layers = [0, 1, 2, 3].map((l) => {
      const heads = attention(golden[`q_l${l}`], golden[`k_l${l}`], window)
      return [promptSeen(heads.slice(0, 2)), promptSeen(heads.slice(2))]
    })
    const measures = layers.map((heads) => preset.budget!.measure!(heads.map((seen) => ({ seen, head: headOf(96) }))))
    expect(excess(measures, values.preference_float64, 1e-5, 5e-6)).toBeLessThanOrEqual(0)
    expect(excess(measures, golden[`${id}/preference`].data, 1e-5, 5e-6)).toBeLessThanOrEqual(0)

    const stages = cascade(preset, measures, 96, rows)
    expect(stages[3].map((own) => own - window)).toEqual(Array.from(golden[`${id}/layer_budget`].data))
    layers.forEach((heads, l) =>
      heads.forEach((seen, h) => {
        const scores = partsOf(preset).score!.score(seen, headOf(96))
        expect(excess(scores.slice(0, 96 - window), lastAxis(golden[`${id}/indicator_l${l}`], h), 1e-5, 5e-6)).toBeLessThanOrEqual(0)
        const kept = ascending(lastAxis(golden[`${id}/kept_l${l}`], h))
        expect(keep(preset, seen, headOf(96), stages[3][l])).toEqual(kept)
        // Cutting after each layer, on stored scores, comes to the same.
        let left = newest(96, 96)
        for (const stage of stages.slice(l)) {
          const stored = Float32Array.from(left, (row) => scores[row])
          left = Array.from(topRows(stored, stage[l]), (row) => left[row])
        }
        expect(left).toEqual(kept)
      }),
    )
  })

  it('eviction at decode', () => {
    // The official function averages over the queries that it is given; a step has one.
    const {
      shape: [, , queries, rows],
      data,
    } = golden['decode_eviction/in.attention']
    const mean = [0, 1, 2, 3].map((h) =>
      Float64Array.from({ length: rows }, (_, j) => {
        let sum = 0
        for (let i = 0; i < queries; i++) sum += data[(h * queries + i) * rows + j]
        return sum / queries
      }),
    )
    const preset = cake({ window: 8 })
    for (const h of [0, 1]) {
      const seen = stepSeen(mean.slice(2 * h, 2 * h + 2))
      const scores = partsOf(preset).score!.score(seen, headOf(rows))
      expect(excess(scores.slice(0, 23), lastAxis(golden['decode_eviction/scores'], h), 1e-5, 5e-6)).toBeLessThanOrEqual(0)
      expect(keep(preset, seen, headOf(rows), 28)).toEqual(ascending(lastAxis(golden['decode_eviction/kept'], h)))
    }
  })

  it('adjustment of budgets', () => {
    const { values } = cases.find(({ id }) => id === 'adjust_budgets')!
    expect(values.rows).toHaveLength(8)
    for (const { budget_list, total_budget, seq_len, result } of values.rows)
      expect(adjustBudgets(budget_list, total_budget, seq_len)).toEqual(result)
  })
})

describe('any prompt', () => {
  it('shares no more than the budget, gives each layer its window, and nests the stages', () => {
    const measure = fc.oneof(fc.double({ min: 0, max: 1e9 }), fc.constantFrom(0, NaN, Infinity))
    const size = fc.integer({ min: 1, max: 300 })
    fc.assert(
      fc.property(
        fc.array(measure, { minLength: 1, maxLength: 8 }),
        size,
        size,
        fc.integer({ min: 2, max: 40 }),
        (measures, tokens, rows, window) => {
          for (const [m, stage] of cascade(cake({ window }), measures, tokens, rows).entries()) {
            expect(stage).toHaveLength(m + 1)
            expect(stage.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(rows * measures.length)
            for (const own of stage) {
              expect(Number.isInteger(own)).toBe(true)
              expect(own).toBeGreaterThanOrEqual(Math.min(rows, window))
            }
            if (tokens <= rows) expect(stage.every((own) => own === rows)).toBe(true)
          }
        },
      ),
    )
  })

  it('keeps min(rows, budget) rows, the newest of the window among them', () => {
    fc.assert(
      fc.property(prompts(40, 6), fc.integer({ min: 1, max: 50 }), ({ rows, window, heads }, budget) => {
        const preset = cake({ window: 6 })
        for (const seen of [promptSeen(heads), stepSeen(heads.map((queries) => queries[window - 1]))]) {
          const kept = keep(preset, seen, headOf(rows), budget)
          expect(isAscending(kept, rows)).toBe(true)
          expect(kept).toHaveLength(Math.min(rows, budget))
          const recent = newest(rows, Math.min(window, budget))
          expect(kept.slice(-recent.length)).toEqual(recent)
          expect(keep(preset, seen, headOf(rows), budget)).toEqual(kept)
        }
      }),
    )
  })

  it('does not care about the order of heads', () => {
    fc.assert(
      fc.property(prompts(40, 6), ({ rows, heads }) => {
        const preset = cake({ window: 6 })
        const scores = (order: typeof heads) =>
          partsOf(preset)
            .score!.score(promptSeen(order), headOf(rows))
            .filter((score) => score < Infinity)
        expect(excess(scores(heads.toReversed()), scores(heads), 1e-6, 1e-6)).toBeLessThanOrEqual(0)
        const measure = (order: typeof heads) => [
          preset.budget!.measure!(order.map((queries) => ({ seen: promptSeen([queries]), head: headOf(rows) }))),
        ]
        expect(excess(measure(heads.toReversed()), measure(heads), 1e-9, 1e-12)).toBeLessThanOrEqual(0)
      }),
    )
  })
})

describe('edges', () => {
  it('takes a prompt of one row, and none', () => {
    expect(cake().budget!.measure!([{ seen: promptSeen([[[1]]]), head: headOf(1) }])).toBe(0)
    expect(keep(cake(), promptSeen([[[1]]]), headOf(1), 4)).toEqual([0])
    expect(keep(cake(), promptSeen([[]]), headOf(0), 4)).toEqual([])
  })

  it('counts the variance of one query as 0', () => {
    const scores = partsOf(cake({ window: 2 })).score!.score(promptSeen([[[0.5, 0.5]]]), headOf(2))
    expect(scores[0]).toBeCloseTo(0.1)
  })

  it('takes NaN, which pooling spreads over its neighbours, for the least', () => {
    const seen = promptSeen([
      [
        [NaN, 0, 0, 0, 0.1, 0.1, 0.2, 0.2, 0.4, 0],
        [0, 0, 0, 0, 0, 0.1, 0.2, 0.2, 0.2, 0.3],
      ],
    ])
    expect(keep(cake({ window: 2 }), seen, headOf(10), 7)).toEqual([3, 4, 5, 6, 7, 8, 9])
  })

  it('has 1024 rows on average, unless given a budget', () => {
    expect(cake().budget!.size).toEqual({ tokens: 1024 })
    expect(cake({ budget: '10%' }).budget!.size).toEqual({ ratio: 0.1 })
  })
})
