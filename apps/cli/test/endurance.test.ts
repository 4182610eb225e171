import { createKernels, type ArrayTensor } from '@kvfold/kernels'
import {
  compose,
  createRandom,
  describeParams,
  KvCache,
  PAGE_ROWS,
  type AttendInput,
  type CacheShape,
  type Method,
  type Policy,
  type Preset,
} from '@kvfold/kv-core'
import { describe, expect, it } from 'vitest'
import { registry } from '../src/registry.ts'

const shape: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 32, rope: { theta: 10_000 } }
const heads = shape.layers * shape.kvHeads

const BUDGET = 48
const PROMPT = 100
const STEPS = 2000
const EVERY = 16

/** What is held goes up and down between two cuts: its highest and lowest are looked for in so many steps at the end of each half. */
const WINDOW = 200

// What is not listed keeps its default.
const SMALL: Record<string, unknown> = { budget: BUDGET, window: 8, sinks: 2, chunk: 40 }

function small(method: Method): Preset {
  const known = new Set(describeParams(method).map(({ name }) => name))
  return method(Object.fromEntries(Object.entries(SMALL).filter(([name]) => known.has(name))))
}

const leavesAtDecode = (policy: Policy): boolean => policy.score!.moments?.includes('decode') ?? false

const presets = registry
  .list()
  .filter(({ method }) => 'budget' in method.params.shape)
  .map(({ method }) => small(method))
const leaving = presets.filter((preset) => leavesAtDecode(compose(preset)))
const flat = [
  ...leaving.map((preset) => compose(preset)),
  ...leaving.map((preset) => compose(preset, registry.get('trigger')({ every: EVERY }))),
]
const growing = presets.filter((preset) => !leaving.includes(preset)).map((preset) => compose(preset))

type Inputs = Record<'q' | 'k' | 'v' | 'retaining', ArrayTensor>

const random = createRandom(7)

function tensor(...size: number[]): ArrayTensor {
  const data = Float32Array.from({ length: size.reduce((a, b) => a * b) }, () => (random() + random() + random() - 1.5) * 2)
  return { shape: size, dtype: 'float32', data }
}

function draw(n: number): Inputs {
  const { queryHeads, kvHeads, headDim } = shape
  return {
    q: tensor(queryHeads, n, headDim),
    k: tensor(kvHeads, n, headDim),
    v: tensor(kvHeads, n, headDim),
    retaining: tensor(kvHeads, n),
  }
}

const prompt = Array.from({ length: shape.layers }, () => draw(PROMPT))
/** Tokens that come again and again; a prime number of them, so that they meet every state of the buffers. */
const tokens = Array.from({ length: 251 }, () => Array.from({ length: shape.layers }, () => draw(1)))

async function feed(cache: KvCache, inputs: readonly AttendInput[]): Promise<void> {
  for (let layer = 0; layer < shape.layers; layer++) {
    const { data } = (await cache.layer(layer).attend(inputs[layer])) as ArrayTensor
    if (!data.every(Number.isFinite)) throw new Error(`layer ${layer} gave a number that is not finite after ${cache.length} tokens`)
  }
}

/** What is held after a step: rows of all heads, the ledger's bytes and the heap's. */
interface Held {
  step: number
  rows: number
  bytes: number
  live: number
  peak: number
}

/** What is held at the end of each half of a long decode. */
async function decode(policy: Policy): Promise<[Held[], Held[]]> {
  const kernels = createKernels()
  const before = kernels.heap.live
  const cache = new KvCache(shape, { policy, kernels })
  const halves: [Held[], Held[]] = [[], []]
  try {
    await feed(cache, prompt)
    if (cache.unread > 0) await cache.reconstruct(PROMPT, () => feed(cache, prompt))
    for (let step = 1; step <= STEPS; step++) {
      await feed(cache, tokens[step % tokens.length])
      const half = step <= STEPS / 2 ? 0 : 1
      if (step <= ((half + 1) * STEPS) / 2 - WINDOW) continue
      const { rows, bytes, payload, scales, indices, scratch, peakBytes } = cache.ledger()
      const live = kernels.heap.live - before
      if (live !== payload + scales + indices + scratch) throw new Error(`the ledger and the heap differ after step ${step}`)
      halves[half].push({ step, rows, bytes, live, peak: peakBytes })
    }
    expect(cache.length).toBe(PROMPT + STEPS)
  } finally {
    await cache.dispose()
  }
  expect(kernels.heap.live).toBe(before)
  return halves
}

const most = (held: readonly Held[], what: 'rows' | 'bytes' | 'live' | 'peak'): number => Math.max(...held.map((one) => one[what]))

describe('memory is flat where rows leave at decode', () => {
  // The smallest page there is: eight rows of one head. A byte or two more at every step would exceed it.
  const slack = 8 * shape.headDim * 4

  it.each(flat.map((policy) => [policy.text, policy] as const))('%s', async (_, policy) => {
    const [early, late] = await decode(policy)
    for (const what of ['bytes', 'live', 'peak'] as const) {
      expect(most(late, what), `${what} held`).toBeLessThanOrEqual(most(early, what) + slack)
      expect(most(late, what), `${what} held`).toBeGreaterThanOrEqual(most(early, what) - slack)
    }
    const between = (policy.trigger?.every ?? 1) - 1
    for (const held of [early, late]) expect(most(held, 'rows')).toBeLessThanOrEqual((BUDGET + between) * heads)
  })
})

describe('memory grows by the new rows, and by nothing else, where rows leave when a prompt ends', () => {
  it.each(growing.map((policy) => [policy.text, policy] as const))('%s', async (_, policy) => {
    const [early, late] = await decode(policy)
    const steps = STEPS / 2
    const width = shape.headDim * 4
    const row = 2 * width + 4 * policy.columns.length
    // Of each head: of keys and of values a last page that is half full at worst and an entry per page, and the room that columns take in advance.
    const tables = 2 * 16 * (steps / PAGE_ROWS + 8)
    const slack = heads * (2 * (PAGE_ROWS / 2) * width + tables + 4 * policy.columns.length * (7 + (PROMPT + STEPS) / 16))
    early.forEach(({ step, rows, bytes, live }, i) => {
      expect(rows, `after step ${step}`).toBeLessThanOrEqual((BUDGET + step) * heads)
      expect(late[i].rows - rows).toBe(steps * heads)
      expect(Math.abs(late[i].bytes - bytes - steps * heads * row)).toBeLessThanOrEqual(slack)
      expect(Math.abs(late[i].live - live - steps * heads * 2 * width)).toBeLessThanOrEqual(slack)
    })
    const first = early[0]
    for (const { step, rows } of [...early, ...late]) expect(rows - first.rows).toBe((step - first.step) * heads)
  })
})

it('methods of both kinds are there', () => {
  expect(flat.length).toBeGreaterThan(2)
  expect(growing.length).toBeGreaterThan(2)
})
