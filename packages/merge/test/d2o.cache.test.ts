import { type ArrayTensor, ownHeap, referenceKernels } from '@kvfold/kernels'
import { type CacheShape, compose, createRandom, KvCache, type Preset } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { d2o } from '@kvfold/merge'
import { describe, expect, it } from 'vitest'
import { excess } from './support.ts'

testMethod('d2o', () => [d2o({ budget: 48 })], { describe, it })
testMethod('d2o, a share', () => [d2o()], { describe, it })
testMethod('d2o, as its code', () => [d2o({ budget: 48, form: 'code' })], { describe, it })

const SHAPE: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 16, rope: 'external' }
const HEADS = SHAPE.layers * SHAPE.kvHeads

/** The same tokens for each cache that is fed from the same seed; with `period`, keys and values come again after so many tokens. */
function inputs(n: number, seed: number, period = Infinity) {
  const random = createRandom(seed)
  const tensor = (heads: number, again: number): ArrayTensor => {
    const data = new Float32Array(heads * n * 16)
    for (let at = 0; at < data.length; at++) {
      const token = Math.floor(at / 16) % n
      data[at] = token < again ? random() * 4 - 2 : data[at - again * 16]
    }
    return { shape: [heads, n, 16], dtype: 'float32', data }
  }
  return { q: tensor(4, Infinity), k: tensor(2, period), v: tensor(2, period) }
}

async function run(presets: Preset[], prompt: number, steps: number, period?: number) {
  const cache = new KvCache(SHAPE, { policy: compose(...presets), kernels: referenceKernels(ownHeap()), trace: true })
  const out: Float32Array[] = []
  const rows: number[] = []
  for (let step = 0; step <= steps; step++) {
    for (let layer = 0; layer < SHAPE.layers; layer++) {
      const result = (await cache.layer(layer).attend(inputs(step === 0 ? prompt : 1, step * 2 + layer, period))) as ArrayTensor
      out.push(result.data.slice())
    }
    rows.push(cache.ledger().rows)
  }
  const plans = cache.trace!.plans
  await cache.dispose()
  return { out, rows, plans }
}

describe('d2o, in a cache', () => {
  it.each([
    [24, 24],
    ['30%', 30],
  ] as const)('keeps at most a budget of %s, and no row more while it generates', async (budget, own) => {
    const { rows } = await run([d2o({ budget })], 100, 3)
    expect(rows[0]).toBeLessThanOrEqual(HEADS * own)
    // Shares are cut to whole rows: at most one row a head is lost.
    expect(rows[0]).toBeGreaterThanOrEqual(HEADS * (own - 1))
    expect(new Set(rows).size).toBe(1)
  })

  it('leaves the prompt alone, and everything within the budget', async () => {
    const full = await run([], 60, 3)
    const cut = await run([d2o({ budget: 20 })], 60, 3)
    expect(cut.out.slice(0, 2)).toEqual(full.out.slice(0, 2))
    expect(cut.out[2]).not.toEqual(full.out[2])
    const roomy = await run([d2o({ budget: 63 })], 60, 3)
    expect(roomy.out).toEqual(full.out)
    expect(roomy.plans).toEqual([])
  })

  it('lives with a prompt of one token', async () => {
    expect((await run([d2o({ budget: 40 })], 1, 2)).rows).toEqual([HEADS, 2 * HEADS, 3 * HEADS])
  })

  it('keeps the first tokens and the newest of every layer', async () => {
    const { plans } = await run([d2o({ budget: 24 })], 100, 0)
    expect(plans).toHaveLength(SHAPE.layers)
    for (const { heads } of plans) {
      for (const { keep } of heads) {
        expect(Array.from(keep.slice(0, 4))).toEqual([0, 1, 2, 3])
        const newest = Math.round(keep.length / 2)
        expect(Array.from(keep.slice(-newest))).toEqual(Array.from({ length: newest }, (_, i) => 100 - newest + i))
      }
    }
  })

  it('folds rows away, and without folds differs only in the rows that took some', async () => {
    const merged = await run([d2o({ budget: 24 })], 100, 0)
    const { fold: _, ...unmerged } = d2o({ budget: 24 })
    const dropped = await run([unmerged], 100, 0)
    expect(merged.plans.some(({ heads }) => heads.some(({ fold }) => fold))).toBe(true)
    expect(dropped.plans.every(({ heads }) => heads.every(({ fold }) => !fold))).toBe(true)
    expect(merged.plans.map(({ heads }) => heads.map(({ keep }) => keep))).toEqual(
      dropped.plans.map(({ heads }) => heads.map(({ keep }) => keep)),
    )
  })

  it('merges tokens that repeat without changing their keys and values', async () => {
    // Ten tokens, ten times over: whatever stays has seen its equals leave, so that folding changes nothing.
    const { fold: _, ...unmerged } = d2o({ budget: 40 })
    const merged = await run([d2o({ budget: 40 })], 100, 1, 10)
    const dropped = await run([unmerged], 100, 1, 10)
    expect(merged.plans[0].heads[0].fold!.from.length).toBeGreaterThan(10)
    for (const [i, out] of merged.out.entries()) expect(excess(out, dropped.out[i], 1e-4, 1e-4)).toBeLessThanOrEqual(0)
  })
})
