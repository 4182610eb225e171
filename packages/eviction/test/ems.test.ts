import { ems } from '@kvfold/eviction'
import { topRows, type Observation } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { excess, headOf, keep, newest, prompts, promptSeen, stepSeen } from './support.ts'

/** A prompt of six rows, the last of which is the window. */
const example: Observation = {
  moment: 'prefill',
  group: 1,
  columnSums: Float32Array.of(2.4, 0.6, 0.9, 0.5, 0.6, 1),
  windowAttention: { data: Float32Array.of(0.2, 0.05, 0.35, 0.1, 0.3, 0.7), window: 1 },
}

describe('the worked example of the score', () => {
  it.each([
    ['max', [2.4, 0.6, 1.75, 0.5, 1.5]],
    ['sum', [3.4, 0.85, 2.65, 1, 2.1]],
  ] as const)('%s of both, at one mean', (fuse, expected) => {
    const scores = ems({ window: 1, fuse }).score!.score(example, headOf(6))
    expect(excess(scores.subarray(0, 5), expected, 0, 1e-5)).toBeLessThanOrEqual(0)
    expect(scores[5]).toBe(Infinity)
    // Two centres and the window.
    expect([...topRows(scores, 3)]).toEqual([0, 2, 5])
  })

  it('a step: local fades, global does not', () => {
    const columns = { global: Float32Array.of(2, 1, 0), local: Float32Array.of(0.5, 0.1, 0) }
    ems({ window: 4 }).score!.score(
      stepSeen([
        [0.3, 0.1, 0.6],
        [0.1, 0.3, 0.6],
      ]),
      headOf(3, undefined, columns),
    )
    expect(excess(columns.global, [2.2, 1.2, 0.6], 0, 1e-6)).toBeLessThanOrEqual(0)
    expect(excess(columns.local, [0.575, 0.275, 0.6], 0, 1e-6)).toBeLessThanOrEqual(0)
  })

  it('a short follow-up fades what was before by as many queries, a long one forgets it', () => {
    const local = (window: number): number => {
      const columns = { local: Float32Array.of(1, 0, 0) }
      ems({ window }).score!.score(
        promptSeen([
          [
            [0, 1, 0],
            [0, 0, 1],
          ],
        ]),
        headOf(3, undefined, columns),
      )
      return columns.local[0]
    }
    expect([local(2), local(4)]).toEqual([0, 0.5625])
  })
})

describe('any prompt', () => {
  const settings = fc.record({ budget: fc.integer({ min: 1, max: 30 }), window: fc.integer({ min: 1, max: 8 }) })

  it('both scores have one mean: their sum is twice the global one, and the larger is at most that', () => {
    fc.assert(
      fc.property(prompts(30, Infinity), settings, ({ rows, heads }, { window }) => {
        const columns: Record<string, Float32Array> = {}
        const of = (fuse: 'max' | 'sum', into = {}): Float32Array =>
          ems({ window, fuse })
            .score!.score(promptSeen(heads), headOf(rows, undefined, into))
            .subarray(0, Math.max(0, rows - window))
        const sum = of('sum', columns)
        const max = of('max')
        const total = (all: Float32Array): number => all.reduce((a, b) => a + b, 0)
        expect(total(sum)).toBeCloseTo(2 * total(columns['global'].subarray(0, sum.length)), 3)
        for (const [j, score] of max.entries()) {
          expect(score).toBeLessThanOrEqual(sum[j])
          expect(score).toBeGreaterThanOrEqual(columns['global'][j])
        }
      }),
    )
  })

  it('keeps min(rows, budget) rows, the window among them', () => {
    fc.assert(
      fc.property(prompts(30, Infinity), settings, ({ rows, heads }, { window, budget }) => {
        const kept = keep(ems({ window }), promptSeen(heads), headOf(rows), budget)
        expect(kept).toHaveLength(Math.min(rows, budget))
        expect(kept.slice(-Math.min(window, kept.length))).toEqual(newest(rows, Math.min(window, budget)))
      }),
    )
  })

  it('does not care about the order of the query heads', () => {
    fc.assert(
      fc.property(prompts(30, Infinity), ({ rows, heads }) => {
        const scores = (order: typeof heads): Float32Array => ems({ window: 4 }).score!.score(promptSeen(order), headOf(rows))
        const [one, other] = [scores(heads), scores(heads.toReversed())].map((all) => all.map((x) => (x === Infinity ? 1e9 : x)))
        expect(excess(one, other, 1e-5, 1e-6)).toBeLessThanOrEqual(0)
      }),
    )
  })
})

describe('edges', () => {
  it('local says nothing where the last queries looked at nothing older', () => {
    const seen = promptSeen([
      [
        [1, 0, 0],
        [0.5, 0.5, 0],
        [0, 0, 1],
      ],
    ])
    const alone = { ...seen, windowAttention: { data: seen.windowAttention!.data.slice(6), window: 1 } }
    expect([...ems({ window: 1 }).score!.score(alone, headOf(3))]).toEqual([1.5, 0.5, Infinity])
  })

  it('claims the budget only if given one', () => {
    expect(ems({ budget: 99 }).budget?.size).toEqual({ tokens: 99 })
    expect(ems().fallback?.budget?.size).toEqual({ tokens: 256 })
  })
})

testMethod('ems', () => [ems({ budget: 48, window: 8 })], { describe, it })
testMethod('ems, a share, both scores', () => [ems({ budget: '25%', window: 8, fuse: 'sum' })], { describe, it })
testMethod('ems, as it comes', () => [ems()], { describe, it })
