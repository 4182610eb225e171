import { h2o } from '@kvfold/eviction'
import type { Preset } from '@kvfold/kv-core'
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
  prompts,
  promptSeen,
  readGolden,
  softmax,
  stepSeen,
} from './support.ts'

/** A head as the core would carry it on: what stays keeps its sum, a new row starts with 0. */
class Head {
  positions: number[] = []
  sums = new Float32Array(0)

  append(count: number): void {
    const from = this.positions.length === 0 ? 0 : this.next
    this.positions.push(...Array.from({ length: count }, (_, i) => from + i))
    this.sums = Float32Array.from([...this.sums, ...new Float32Array(count)])
    this.next = from + count
  }

  plan(preset: Preset, seen: Parameters<typeof keep>[1], rows: number): number[] {
    const kept = keep(preset, seen, headOf(this.positions.length, this.positions, { accumulated: this.sums }), rows)
    this.positions = kept.map((row) => this.positions[row])
    this.sums = Float32Array.from(kept, (row) => this.sums[row])
    return kept
  }

  private next = 0
}

describe('the worked example', () => {
  const rows = [
    [1, 0, 0, 0, 0],
    [0.6, 0.4, 0, 0, 0],
    [0.5, 0.1, 0.4, 0, 0],
    [0.4, 0.1, 0.2, 0.3, 0],
    [0.3, 0.05, 0.35, 0.1, 0.2],
  ]

  it('keeps heavy hitters and the newest rows, history wins', () => {
    const head = new Head()
    const step = (...attention: number[]) => {
      head.append(1)
      head.plan(h2o(), stepSeen([attention]), 4)
    }
    head.append(5)
    expect(excess(h2o().score!.score(promptSeen([rows]), headOf(5)), [2.8, 0.65, 0.95, 0.4, 0.2], 0, 1e-6)).toBeLessThanOrEqual(0)
    head.plan(h2o(), promptSeen([rows]), 4)
    expect(head.positions).toEqual([0, 2, 3, 4])
    expect(excess(head.sums, [2.8, 0.95, 0.4, 0.2], 0, 1e-6)).toBeLessThanOrEqual(0)
    step(0.2, 0.1, 0.3, 0.15, 0.25)
    expect(head.positions).toEqual([0, 2, 4, 5])
    expect(excess(head.sums, [3, 1.05, 0.35, 0.25], 0, 1e-6)).toBeLessThanOrEqual(0)
    step(0.1, 0.05, 0.6, 0.1, 0.15)
    expect(head.positions).toEqual([0, 2, 5, 6])
    expect(excess(head.sums, [3.1, 1.1, 0.35, 0.15], 0, 1e-6)).toBeLessThanOrEqual(0)
  })
})

describe('published implementations', () => {
  it('FMInference/H2O: a prompt and five steps', () => {
    const golden = readGolden('h2o_official')
    const at = (name: string) => golden[`h2o_layerwise/${name}`]
    const heads = attention(at('in.q0'), at('in.k0'), 64)
    for (let h = 0; h < 4; h++) {
      const preset = h2o({ recent: 6 / 16 })
      const head = new Head()
      head.append(64)
      const scores = preset.score!.score(promptSeen([heads[h]]), headOf(64))
      expect(excess(scores.slice(0, 58), lastAxis(at('scores0'), h), 1e-5, 5e-6)).toBeLessThanOrEqual(0)
      // The keys of the rows that are left, to attend over.
      let keys = Array.from({ length: 64 }, (_, j) => lastAxis(at('in.k0'), h * 64 + j))
      for (let step = 0; step <= 5; step++) {
        if (step > 0) {
          head.append(1)
          keys.push(lastAxis(at(`in.k${step}`), h))
        }
        // Of the prompt's queries only the shape is used here: step 0 hands over all of its attention.
        const query = lastAxis(at(`in.q${step}`), h)
        const logits = Float64Array.from(keys, (key) => key.reduce((dot, x, c) => dot + x * query[c], 0) / 4)
        const kept = head.plan(preset, step === 0 ? promptSeen([heads[h]]) : stepSeen([softmax(logits)]), 16)
        keys = kept.map((row) => keys[row])
        expect(head.positions).toEqual(lastAxis(at(`kept${step}`), h))
        expect(excess(head.sums, lastAxis(at(`hh_score${step}`), h), 1e-5, 5e-6)).toBeLessThanOrEqual(0)
      }
    }
  })

  // That repository's prompt-only reading: sums without the window's columns, then the window.
  it.each(['query_head', 'kv_head'])('Zefan-Cai/KVCache-Factory h2o.%s', (mode) => {
    const { args, outputs } = cases.find(({ id }) => id === `h2o.${mode}`)!
    const golden = readGolden('kvcf_eviction')
    const { window_size: window, max_capacity_prompt: capacity } = args
    const all = attention(golden['q'], golden['k'], 96)
    const heads = mode === 'query_head' ? all.map((queries) => [queries]) : [all.slice(0, 2), all.slice(2)]
    heads.forEach((group, h) => {
      const scores = h2o()
        .score!.score(promptSeen(group), headOf(96))
        .slice(0, 96 - window)
      expect(excess(scores, lastAxis(golden[outputs['scores']], h), 1e-5, 5e-6)).toBeLessThanOrEqual(0)
      const kept = keep(h2o({ recent: window / capacity }), promptSeen(group), headOf(96), capacity)
      expect(kept).toEqual(ascending(lastAxis(golden[outputs['kept']], h)))
    })
  })
})

describe('any prompt', () => {
  const settings = fc.record({ budget: fc.integer({ min: 1, max: 30 }), recent: fc.double({ min: 0, max: 1, noNaN: true }) })

  it('keeps min(rows, budget) rows, the newest among them, over many steps', () => {
    fc.assert(
      fc.property(prompts(24, Infinity), settings, fc.nat(), ({ rows, heads }, { budget, recent }, seed) => {
        const preset = h2o({ recent })
        const head = new Head()
        head.append(rows)
        head.plan(preset, promptSeen(heads), budget)
        for (let step = 0; step < 8; step++) {
          expect(head.positions).toHaveLength(Math.min(rows + step, budget))
          const last = newest(rows + step, Math.round(budget * recent))
          expect(last.length === 0 ? [] : head.positions.slice(-last.length)).toEqual(last)
          head.append(1)
          const logits = () => Float64Array.from(head.positions, (p) => (p * 7919 + seed + step) % 13)
          const kept = head.plan(preset, stepSeen(heads.map(() => softmax(logits()))), budget)
          expect(isAscending(kept, Math.min(rows + step, budget) + 1)).toBe(true)
        }
      }),
    )
  })

  it('sums up to the number of queries while nothing leaves', () => {
    fc.assert(
      fc.property(prompts(24, Infinity), ({ rows, heads }) => {
        const sum = h2o()
          .score!.score(promptSeen(heads), headOf(rows))
          .reduce((a, b) => a + b, 0)
        expect(Math.abs(sum - rows)).toBeLessThan(1e-4)
      }),
    )
  })

  it('does not care about the order of the query heads, unless the first one decides', () => {
    fc.assert(
      fc.property(prompts(24, Infinity), ({ rows, heads }) => {
        const scores = (order: typeof heads, group: 'mean' | 'first') => h2o({ group }).score!.score(promptSeen(order), headOf(rows))
        expect(excess(scores(heads.toReversed(), 'mean'), scores(heads, 'mean'), 1e-6, 1e-6)).toBeLessThanOrEqual(0)
        expect(scores(heads, 'first')).toEqual(scores(heads.slice(0, 1), 'mean'))
      }),
    )
  })
})

describe('edges', () => {
  it('takes NaN for the least', () => {
    expect(keep(h2o({ recent: 0 }), stepSeen([[0.2, NaN, 0.1, 0.3]]), headOf(4), 3)).toEqual([0, 2, 3])
  })

  it('takes no rows, and hands out a copy of its column', () => {
    expect(keep(h2o(), promptSeen([[]]), headOf(0), 3)).toEqual([])
    const sums = new Float32Array(2)
    h2o()
      .score!.score(stepSeen([[0.25, 0.75]]), headOf(2, undefined, { accumulated: sums }))
      .fill(9)
    expect(Array.from(sums)).toEqual([0.25, 0.75])
  })

  it('claims the budget only if given one', () => {
    expect(h2o({ budget: '25%' }).budget?.size).toEqual({ ratio: 0.25 })
    expect(h2o().fallback?.budget?.size).toEqual({ ratio: 0.2 })
  })
})
