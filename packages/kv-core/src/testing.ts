import { createKernels, type ArrayTensor, type Kernels } from '@kvfold/kernels'
import { KvCache } from './cache.ts'
import type { Preset } from './method.ts'
import type { ModelParts } from './model-parts.ts'
import { compose, type Policy } from './policy.ts'
import { createRandom, type Random } from './random.ts'
import type { CacheShape } from './shape.ts'

/** What `testMethod` needs of a test runner: vitest, jest and node:test all have it. */
export interface Runner {
  describe(name: string, body: () => void): void
  it(name: string, body: () => Promise<void>): void
}

export interface LawOptions {
  /** Default: 2 layers, 4 query heads, 2 KV heads of 32. */
  shape?: CacheShape
  /** Default: the fastest of this machine. */
  kernels?: () => Kernels | Promise<Kernels>
  /** What the method must know of a model. Default: nothing. */
  model?: ModelParts
  /** Default: from the clock; a failure names it. */
  seed?: number
}

const SHAPE: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 32, rope: { theta: 10_000 } }

/**
 * The laws that every method inherits, alone or composed, on random inputs through a whole cache:
 * exact bytes, budgets kept, forks apart, chunks equal to one call, memory given back, flat memory in a long decode.
 * A method package outside this repository calls it like those inside.
 */
export function testMethod(name: string, make: () => Preset[], { describe, it }: Runner, options: LawOptions = {}): void {
  describe(`${name} keeps the laws`, () => {
    for (const law of LAWS) {
      it(law.says, async () => {
        const seed = options.seed ?? Date.now() >>> 0
        const policy = compose(...make())
        const kernels = await (options.kernels?.() ?? createKernels())
        const setting = { shape: options.shape ?? SHAPE, policy, kernels, model: options.model, random: createRandom(seed) }
        try {
          await law.check(setting)
        } catch (error) {
          throw new Error(`${policy.text}, seed ${seed}: ${(error as Error).message}`, { cause: error })
        }
      })
    }
  })
}

interface Setting {
  shape: CacheShape
  policy: Policy
  kernels: Kernels
  model: ModelParts | undefined
  random: Random
}

const LAWS: { says: string; check(setting: Setting): Promise<void> }[] = [
  {
    says: 'rows stay within the budget and the ledger equals the live buffers, after every plan',
    async check({ shape, policy, kernels, model, random }) {
      const before = kernels.heap.live
      const cache = new KvCache(shape, { policy, kernels, model })
      for (const n of [150, 1, 1, 40, 1, 1, 1]) {
        await feed(cache, shape, n, random)
        checkLedger(cache, kernels, before)
        checkBudget(cache, shape, policy)
      }
      await cache.dispose()
      assert(kernels.heap.live === before, `disposing left ${kernels.heap.live - before} bytes`)
    },
  },
  {
    says: 'a prompt in chunks ends like the prompt in one call',
    async check({ shape, policy, kernels, model, random }) {
      if (policy.attention) return // A pattern is chosen per call: chunks may choose others.
      const whole = new KvCache(shape, { policy, kernels, model }),
        chunked = new KvCache(shape, { policy, kernels, model })
      const inputs = Array.from({ length: shape.layers }, () => draw(shape, 130, random))
      for (let layer = 0; layer < shape.layers; layer++) {
        await whole.layer(layer).attend(inputs[layer])
        for (const [from, to] of [
          [0, 50],
          [50, 51],
          [51, 130],
        ])
          await chunked.layer(layer).attend({ ...cut(inputs[layer], from, to), more: to < 130 })
      }
      for (const cache of [whole, chunked]) await readAgain(cache, shape, inputs)
      const next = Array.from({ length: shape.layers }, () => draw(shape, 1, random))
      for (let layer = 0; layer < shape.layers; layer++) {
        const a = (await whole.layer(layer).attend(next[layer])) as ArrayTensor,
          b = (await chunked.layer(layer).attend(next[layer])) as ArrayTensor
        assert(distance(a.data, b.data) < 1e-3, `layer ${layer} differs by ${distance(a.data, b.data)}`)
      }
      assert(whole.ledger().rows === chunked.ledger().rows, 'they keep different numbers of rows')
      await whole.dispose()
      await chunked.dispose()
    },
  },
  {
    says: 'forks do not see each other, and every page is freed',
    async check({ shape, policy, kernels, model, random }) {
      const before = kernels.heap.live
      const cache = new KvCache(shape, { policy, kernels, model }),
        twin = new KvCache(shape, { policy, kernels, model })
      const prompt = Array.from({ length: shape.layers }, () => draw(shape, 140, random))
      for (const one of [cache, twin]) {
        for (let layer = 0; layer < shape.layers; layer++) await one.layer(layer).attend(prompt[layer])
        await readAgain(one, shape, prompt)
      }
      // Packed rows are multiplied as integers where they lie in memory, as floats where they come from a tier: forks move pages.
      const tolerance = policy.encode ? 2 * kernels.packedError : 1e-5
      const together = async (says: string): Promise<void> => {
        for (let layer = 0; layer < shape.layers; layer++) {
          const inputs = draw(shape, 1, random)
          const a = (await cache.layer(layer).attend(inputs)) as ArrayTensor,
            b = (await twin.layer(layer).attend(inputs)) as ArrayTensor
          const d = distance(a.data, b.data)
          assert(d < tolerance, `${says} by ${d}`)
        }
      }
      for (let step = 0; step < 3; step++) await together('twins differ')
      const fork = cache.fork()
      for (let step = 0; step < 12; step++) {
        await feed(fork, shape, 1, random)
        await together(`step ${step}: a fork changed its parent`)
      }
      for (const one of [cache, fork, twin]) await one.dispose()
      assert(kernels.heap.live === before, `disposing left ${kernels.heap.live - before} bytes`)
    },
  },
  {
    says: 'memory is flat in a long decode where rows leave, and grows by the new rows only where they stay',
    async check({ shape, policy, kernels, model, random }) {
      const cache = new KvCache(shape, { policy, kernels, model })
      await feed(cache, shape, 100, random)
      const row = shape.layers * shape.kvHeads * (shape.headDim * 8 + 4 * policy.columns.length + 32)
      // Long enough for every buffer to reach its size; the slack below covers half-filled pages.
      const steps = 80
      for (let step = 0; step < steps; step++) await feed(cache, shape, 1, random)
      const early = cache.ledger()
      for (let step = 0; step < steps; step++) await feed(cache, shape, 1, random)
      const late = cache.ledger()
      const added = late.rows - early.rows
      const size = policy.budget?.size
      const full = size && 'tokens' in size && early.seen > size.tokens
      const lag = ((policy.trigger?.every ?? 1) - 1) * shape.layers * shape.kvHeads
      // A selector may make room for rows to come: what is held then goes up and down below the budget.
      if (full && policy.score?.moments?.includes('decode'))
        assert(
          late.rows <= Math.max(early.rows, size.tokens * shape.layers * shape.kvHeads) + lag,
          `${added} rows more after ${steps} steps at a fixed budget`,
        )
      assert(late.bytes - early.bytes <= row * (added / shape.layers / shape.kvHeads + 80), `${late.bytes - early.bytes} bytes more`)
      await cache.dispose()
    },
  },
]

async function feed(cache: KvCache, shape: CacheShape, n: number, random: Random): Promise<void> {
  const inputs = Array.from({ length: shape.layers }, () => draw(shape, n, random))
  for (let layer = 0; layer < shape.layers; layer++) {
    const out = (await cache.layer(layer).attend(inputs[layer])) as ArrayTensor
    assert(out.data.every(Number.isFinite), `layer ${layer} gave a number that is not finite`)
  }
  await readAgain(cache, shape, inputs)
}

/** Ends a prompt that the policy wants to be read twice. */
async function readAgain(cache: KvCache, shape: CacheShape, inputs: readonly ReturnType<typeof draw>[]): Promise<void> {
  if (cache.unread === 0) return
  await cache.reconstruct(64, async (first, count) => {
    for (let layer = 0; layer < shape.layers; layer++) await cache.layer(layer).attend(cut(inputs[layer], first, first + count))
  })
}

function checkLedger(cache: KvCache, kernels: Kernels, before: number): void {
  const { payload, scales, indices, scratch, bytes, columns } = cache.ledger()
  const heap = payload + scales + indices + scratch
  assert(heap === kernels.heap.live - before, `the ledger says ${heap} bytes, the heap holds ${kernels.heap.live - before}`)
  assert(bytes === payload + scales + indices + columns, 'the ledger does not add up')
}

function checkBudget(cache: KvCache, shape: CacheShape, policy: Policy): void {
  const { rows, seen, bytes } = cache.ledger()
  const heads = shape.layers * shape.kvHeads
  assert(rows <= seen * heads, 'there are more rows than tokens')
  const size = policy.budget?.size
  if (!size) return
  const decoded = policy.score?.moments?.includes('decode') ? (policy.trigger?.every ?? 1) - 1 : 12
  if ('tokens' in size) assert(rows <= (size.tokens + decoded) * heads, `${rows / heads} rows per head of a budget of ${size.tokens}`)
  if ('ratio' in size) assert(rows <= (Math.max(1, seen * size.ratio) + decoded) * heads, `${rows / heads} rows per head of ${seen} seen`)
  if ('bytes' in size) assert(bytes <= size.bytes + decoded * heads * 2048, `${bytes} bytes of a budget of ${size.bytes}`)
}

function draw(shape: CacheShape, n: number, random: Random): Record<'q' | 'k' | 'v' | 'retaining', ArrayTensor> {
  const tensor = (...size: number[]): ArrayTensor => ({
    shape: size,
    dtype: 'float32',
    data: Float32Array.from({ length: size.reduce((a, b) => a * b) }, () => (random() + random() + random() - 1.5) * 2),
  })
  const { queryHeads, kvHeads, headDim } = shape
  return {
    q: tensor(queryHeads, n, headDim),
    k: tensor(kvHeads, n, headDim),
    v: tensor(kvHeads, n, headDim),
    retaining: tensor(kvHeads, n),
  }
}

/** Tokens `from .. to` of each head. */
function cut(inputs: ReturnType<typeof draw>, from: number, to: number): ReturnType<typeof draw> {
  const part = ({ data, shape: [heads, n, width] }: ArrayTensor): ArrayTensor => {
    const each = width ?? 1
    const out = new Float32Array(heads * (to - from) * each)
    for (let h = 0; h < heads; h++) out.set(data.subarray((h * n + from) * each, (h * n + to) * each), h * (to - from) * each)
    return { shape: width ? [heads, to - from, width] : [heads, to - from], dtype: 'float32', data: out }
  }
  return { q: part(inputs.q), k: part(inputs.k), v: part(inputs.v), retaining: part(inputs.retaining) }
}

/** Largest difference over the largest magnitude. */
function distance(a: Float32Array, b: Float32Array): number {
  let worst = 0,
    scale = 1e-30
  for (let i = 0; i < a.length; i++) {
    worst = Math.max(worst, Math.abs(a[i] - b[i]))
    scale = Math.max(scale, Math.abs(b[i]))
  }
  return worst / scale
}

function assert(holds: boolean, message: string): void {
  if (!holds) throw new Error(message)
}
