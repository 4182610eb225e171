import { lazyeviction, trigger } from '@kvfold/eviction'
import { type ArrayTensor, ownHeap, referenceKernels } from '@kvfold/kernels'
import { type CacheShape, compose, createRandom, KvCache, topRows, type HeadView, type Preset } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { excess, headOf, newest, prompts, promptSeen, stepSeen } from './support.ts'

/** A head as the core would carry it on from the end of a prompt, without anything leaving. */
class Head {
  rows: number
  columns: Record<string, Float32Array> = {}
  private readonly preset: Preset

  constructor(preset: Preset, heads: readonly (readonly ArrayLike<number>[])[], rows: number) {
    this.preset = preset
    this.rows = rows
    preset.score!.score(promptSeen(heads), this.view())
  }

  step(...heads: readonly ArrayLike<number>[]): Float32Array {
    this.rows++
    for (const name of ['TS', 'MRI']) this.columns[name] = Float32Array.of(...this.columns[name], 0)
    return this.preset.score!.score(stepSeen(heads), this.view())
  }

  get activity(): [number, number][] {
    return Array.from(this.columns['TS'], (step, i) => [step, this.columns['MRI'][i]])
  }

  private view(): HeadView {
    return headOf(this.rows, undefined, this.columns)
  }
}

const one = [[1, 0, 0]]

describe('the worked example', () => {
  const preset = lazyeviction({ window: 2, alpha: 0.1 })
  const high = 2 / (1 + Math.E) + 1

  it('after two steps: when each row was active, its longest silence, its score', () => {
    const head = new Head(preset, [one], 3)
    head.step([0.5, 0.05, 0.15, 0.3])
    const scores = head.step([0.05, 0.05, 0.2, 0.3, 0.4])
    // Three tokens had been seen when the prompt ended.
    expect(head.activity).toEqual([
      [4, 1],
      [3, 0],
      [5, 1],
      [5, 1],
      [5, 1],
    ])
    expect(excess(scores.subarray(0, 3), [1.2384, 0, high], 0, 1e-4)).toBeLessThanOrEqual(0)
    expect([...topRows(scores, 3)]).toEqual([2, 3, 4])
  })

  it('a longest silence of 5, silent for 2', () => {
    const head = new Head(lazyeviction({ window: 1, alpha: 0.5 }), [one], 3)
    let scores = new Float32Array(0)
    for (let step = 1; step <= 7; step++) {
      const attention = Float32Array.from({ length: 3 + step }, (_, i) => (i === 0 && step === 5 ? 1 : 0))
      scores = head.step(attention) as typeof scores
    }
    expect(head.activity[0]).toEqual([8, 5])
    expect(excess(scores.subarray(0, 1), [0.3956 + 0.036], 0, 1e-4)).toBeLessThanOrEqual(0)
  })

  it('one query head of a group is enough to be active', () => {
    const head = new Head(preset, [one, one], 3)
    head.step([0.5, 0.05, 0.05, 0.4], [0.05, 0.05, 0.5, 0.4])
    expect(head.activity.map(([, longest]) => longest)).toEqual([1, 0, 1, 1])
  })
})

describe('a prompt', () => {
  it('is ranked by its last queries as if they had been steps', () => {
    const attention = [
      [0.9, 0.05, 0.05, 0, 0],
      [0.05, 0.9, 0.01, 0.04, 0],
      [0.9, 0.02, 0.01, 0.02, 0.05],
    ]
    const scores = lazyeviction({ window: 3, alpha: 0.5 }).score!.score(promptSeen([attention]), headOf(5))
    expect([...scores.subarray(2)]).toEqual([Infinity, Infinity, Infinity])
    // Row 0: active at 3 and 5, longest silence 2. Row 1: at 4, after 2, silent for 1.
    const both = 2 / (1 + Math.E)
    expect(excess(scores.subarray(0, 2), [both + both, 2 / (1 + Math.exp(1.5)) + both], 0, 1e-5)).toBeLessThanOrEqual(0)
  })

  it('starts anew what was seen before it', () => {
    const columns = { TS: Float32Array.of(1, 2, 0), MRI: Float32Array.of(5, 7, 0) }
    lazyeviction({ window: 1 }).score!.score(promptSeen([[[0.5, 0, 0.5]]]), { ...headOf(3, undefined, columns), seen: 40 })
    expect(columns).toEqual({ TS: Float32Array.of(40, 40, 40), MRI: new Float32Array(3) })
  })

  it('leaves no trace for the steps after it', () => {
    fc.assert(
      fc.property(prompts(20, Infinity), ({ rows, heads }) => {
        const columns: Record<string, Float32Array> = {}
        const scores = lazyeviction({ window: 4, alpha: 0.05 }).score!.score(promptSeen(heads), headOf(rows, undefined, columns))
        expect(columns['TS']).toEqual(new Float32Array(rows).fill(rows))
        expect(columns['MRI']).toEqual(new Float32Array(rows))
        expect([...scores.keys()].filter((row) => scores[row] === Infinity)).toEqual(newest(rows, 4))
      }),
    )
  })
})

it('scores: 0 if never active, the most if active at every step, never NaN; the longest silence never shrinks', () => {
  const steps = fc.array(fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }), { minLength: 1, maxLength: 30 })
  fc.assert(
    fc.property(steps, (active) => {
      const head = new Head(lazyeviction({ window: 1, alpha: 0.01 }), [[new Float32Array(6).fill(1 / 6)]], 6)
      let before = head.activity
      for (const [t, rows] of active.entries()) {
        const scores = head.step(Float32Array.from({ length: 7 + t }, (_, i) => (rows[i] ? 0.1 : 0)))
        expect(scores.every((score) => score >= 0)).toBe(true)
        for (let i = 0; i < 6; i++) {
          const ever = active.slice(0, t + 1).some((step) => step[i])
          if (!ever) expect(scores[i]).toBeLessThan(1e-6)
          if (active.slice(0, t + 1).every((step) => step[i])) expect(scores[i]).toBeCloseTo(2 / (1 + Math.E) + 1, 4)
          expect(scores[i]).toBeLessThan(1.5379)
          expect(head.activity[i][1]).toBeGreaterThanOrEqual(before[i][1])
        }
        before = head.activity
      }
    }),
  )
})

describe('in a cache', () => {
  const SHAPE: CacheShape = { layers: 1, queryHeads: 2, kvHeads: 1, headDim: 16, rope: { theta: 1e4 } }

  async function run(presets: Preset[], prompt: number, steps: number) {
    const cache = new KvCache(SHAPE, { policy: compose(...presets), kernels: referenceKernels(ownHeap()), trace: true })
    const random = createRandom(3)
    const tensor = (heads: number, n: number): ArrayTensor => ({
      shape: [heads, n, 16],
      dtype: 'float32',
      data: Float32Array.from({ length: heads * n * 16 }, () => random() * 6 - 3),
    })
    const rows: number[] = []
    const out: Float32Array[] = []
    for (let step = 0; step <= steps; step++) {
      const n = step === 0 ? prompt : 1
      const result = (await cache.layer(0).attend({ q: tensor(2, n), k: tensor(1, n), v: tensor(1, n) })) as ArrayTensor
      out.push(result.data.slice())
      rows.push(cache.ledger().rows)
    }
    const plans = cache.trace!.plans
    await cache.dispose()
    return { rows, out, plans }
  }

  it('rows leave every so many steps only: exactly the budget then, at most so many less one over it between', async () => {
    const { rows, plans } = await run([lazyeviction({ budget: 20, window: 6, alpha: 0.02 })], 50, 40)
    expect(rows).toEqual(rows.map((_, step) => 20 + (step % 6)))
    for (const { heads, positions } of plans) {
      const now = positions[0].at(-1)!
      const kept = Array.from(heads[0].keep, (row) => positions[0][row])
      expect(kept.slice(-6)).toEqual([5, 4, 3, 2, 1, 0].map((back) => now - back))
    }
  })

  it('another lag may be asked for', async () => {
    const { rows } = await run([lazyeviction({ budget: 20, window: 6 }), trigger({ every: 4 })], 50, 12)
    expect(rows).toEqual(rows.map((_, step) => 20 + (step % 4)))
  })

  it('changes nothing while everything fits', async () => {
    const lazy = await run([lazyeviction({ budget: 60, window: 8 })], 40, 20)
    const full = await run([], 40, 20)
    expect(lazy.plans).toEqual([])
    expect(lazy.out).toEqual(full.out)
  })
})

it('brings a budget and the lag along, for others to replace', () => {
  const { budget, trigger: own, fallback } = lazyeviction({ window: 50 })
  expect([budget, own]).toEqual([undefined, undefined])
  expect(fallback).toMatchObject({ budget: { size: { tokens: 1024 } }, trigger: { every: 50 } })
  expect(lazyeviction({ budget: '25%' }).budget?.size).toEqual({ ratio: 0.25 })
  expect(() => lazyeviction({ alpha: 0 })).toThrow(/alpha/)
})

testMethod('lazyeviction', () => [lazyeviction({ budget: 48, window: 8, alpha: 0.01 })], { describe, it })
testMethod('lazyeviction, a share', () => [lazyeviction({ budget: '25%', window: 16 })], { describe, it })
testMethod('lazyeviction, in bytes', () => [lazyeviction({ budget: '64KiB', window: 8 })], { describe, it })
