import { cake, h2o, snapkv, streaming } from '@kvfold/eviction'
import { type ArrayTensor, ownHeap, referenceKernels } from '@kvfold/kernels'
import { type CacheShape, compose, createRandom, KvCache, type Preset } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { describe, expect, it } from 'vitest'
import { attention, headOf, keep, newest, promptSeen } from './support.ts'

testMethod('snapkv', () => [snapkv({ budget: 48, window: 8 })], { describe, it })
testMethod('snapkv, a share', () => [snapkv({ budget: '25%', window: 8, pooling: 'max', group: 'max' })], { describe, it })
testMethod('h2o', () => [h2o({ budget: 48 })], { describe, it })
testMethod('h2o, a share', () => [h2o()], { describe, it })
testMethod('cake', () => [cake({ budget: 48, window: 8 })], { describe, it })
testMethod('cake, a share', () => [cake({ budget: '25%', window: 8 })], { describe, it })
testMethod('cake and snapkv', () => [cake({ budget: 48, window: 8 }), snapkv({ window: 16 })], { describe, it })
testMethod('streaming', () => [streaming({ budget: 48 })], { describe, it })
testMethod('streaming, a share', () => [streaming({ budget: '25%' })], { describe, it })

// Keys count as rotated already, so that plain attention over them is what the cache sees.
const SHAPE: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 16, rope: 'external' }

interface Inputs {
  q: ArrayTensor
  k: ArrayTensor
  v: ArrayTensor
}

/** The same tokens for each cache that is fed from the same seed. */
function inputs(n: number, seed: number): Inputs {
  const random = createRandom(seed)
  const tensor = (heads: number): ArrayTensor => ({
    shape: [heads, n, 16],
    dtype: 'float32',
    data: Float32Array.from({ length: heads * n * 16 }, () => random() * 4 - 2),
  })
  return { q: tensor(4), k: tensor(2), v: tensor(2) }
}

async function run(presets: Preset[], prompt: number, steps: number) {
  const cache = new KvCache(SHAPE, { policy: compose(...presets), kernels: referenceKernels(ownHeap()), trace: true })
  const out: Float32Array[] = []
  const rows: number[] = []
  for (let step = 0; step <= steps; step++) {
    for (let layer = 0; layer < SHAPE.layers; layer++) {
      const result = (await cache.layer(layer).attend(inputs(step === 0 ? prompt : 1, step * 2 + layer))) as ArrayTensor
      out.push(result.data.slice())
    }
    rows.push(cache.ledger().rows)
  }
  const plans = cache.trace!.plans
  await cache.dispose()
  return { out, rows, plans }
}

const heads = SHAPE.layers * SHAPE.kvHeads

/** [the method with a budget, whether rows leave at decode too] */
const methods: [string, (budget: number | string) => Preset, boolean][] = [
  ['snapkv', (budget) => snapkv({ budget, window: 8 }), false],
  ['h2o', (budget) => h2o({ budget }), true],
  ['cake', (budget) => cake({ budget, window: 8 }), true],
  ['streaming', (budget) => streaming({ budget }), true],
]

describe.each(methods)('%s, in a cache', (_name, make, atDecode) => {
  it('keeps as many rows as the budget says, in tokens and as a share', async () => {
    for (const [budget, own] of [
      [24, 24],
      ['30%', 30],
    ] as const) {
      const { rows } = await run([make(budget)], 100, 3)
      expect(rows).toEqual([0, 1, 2, 3].map((step) => heads * (own + (atDecode ? 0 : step))))
    }
  })

  it('leaves the prompt and the first step’s inputs alone, and everything within the budget', async () => {
    const full = await run([], 60, 4)
    const cut = await run([make(20)], 60, 4)
    expect(cut.out.slice(0, 2)).toEqual(full.out.slice(0, 2))
    expect(cut.out[2]).not.toEqual(full.out[2])
    const roomy = await run([make(64)], 60, 4)
    expect(roomy.out).toEqual(full.out)
    expect(roomy.plans).toEqual([])
  })

  it('lives with a prompt of one token and with one shorter than the window', async () => {
    for (const prompt of [1, 5]) {
      const { rows } = await run([make(40)], prompt, 2)
      expect(rows).toEqual([0, 1, 2].map((step) => heads * (prompt + step)))
    }
  })
})

describe('what stays, in a cache', () => {
  const kept = ({ plans }: Awaited<ReturnType<typeof run>>, layer: number) =>
    plans
      .findLast((plan) => plan.layer === layer)!
      .heads.map((head, h) => Array.from(head.keep, (row) => plans.findLast((plan) => plan.layer === layer)!.positions[h][row]))

  /** What the method chooses when it is handed plain float64 attention. */
  const expected = (preset: Preset, prompt: number, layer: number, window: number, budget: number) => {
    const { q, k } = inputs(prompt, layer)
    const golden = ({ shape, data }: ArrayTensor) => ({ shape: [...shape], data: data })
    const all = attention(golden(q), golden(k), window)
    return [all.slice(0, 2), all.slice(2)].map((group) => keep(preset, promptSeen(group), headOf(prompt), budget))
  }

  it('snapkv: what plain attention says', async () => {
    const preset = snapkv({ budget: 24, window: 8 })
    const result = await run([preset], 100, 0)
    for (const layer of [0, 1]) expect(kept(result, layer)).toEqual(expected(preset, 100, layer, 8, 24))
  })

  it('h2o: what plain attention says', async () => {
    const preset = h2o({ budget: 24 })
    const result = await run([preset], 100, 0)
    for (const layer of [0, 1]) expect(kept(result, layer)).toEqual(expected(preset, 100, layer, 100, 24))
  })

  it('snapkv votes with its own window, however many queries the budget asks for', async () => {
    const preset = snapkv({ window: 4 })
    const result = await run([cake({ budget: 24, window: 12 }), preset], 100, 0)
    const own = [0, 1].map((layer) => kept(result, layer))
    for (const layer of [0, 1]) expect(own[layer]).toEqual(expected(preset, 100, layer, 4, own[layer][0].length))
    const narrow = await run([cake({ budget: 24, window: 12 }), snapkv({ window: 20 })], 100, 0)
    const alone = await run([cake({ budget: 24, window: 12 })], 100, 0)
    // The layers' shares do not depend on the other method's window.
    const lengths = (one: Awaited<ReturnType<typeof run>>) => [0, 1].map((layer) => kept(one, layer).map((head) => head.length))
    expect(lengths(narrow)).toEqual(lengths(alone))
  })

  it('streaming: the first tokens and the newest, after the prompt and after each step', async () => {
    const result = await run([streaming({ budget: 12, sinks: 3 })], 50, 6)
    for (const layer of [0, 1]) {
      for (const positions of kept(result, layer)) expect(positions).toEqual([0, 1, 2, ...newest(56, 9)])
    }
  })

  it('cake: the newest rows of every layer', async () => {
    const result = await run([cake({ budget: 24, window: 8 })], 100, 0)
    for (const layer of [0, 1]) for (const positions of kept(result, layer)) expect(positions.slice(-8)).toEqual(newest(100, 8))
  })
})
