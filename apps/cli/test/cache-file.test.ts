import { createKernels, type ArrayTensor } from '@kvfold/kernels'
import { createRandom, KvCache, PolicyConflictError, type CacheShape, type PageCoding, type Policy, type Random } from '@kvfold/kv-core'
import { describe, expect, it } from 'vitest'
import { codings } from '../src/codings.ts'
import { registry } from '../src/registry.ts'
import { randomModel } from './random-model.ts'

const SHAPE: CacheShape = { layers: 3, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 10_000 } }
const model = randomModel(SHAPE)
const kernels = createKernels()

/** Every method that takes a budget, unpacked and packed, and whatever else has a state of its own. */
const budgeted = registry
  .list()
  .filter(({ method }) => 'budget' in method.params.shape)
  .map(({ method }) => `${method.name}(budget=60)`)
const encoders = registry
  .list()
  .filter(({ method }) => method.axes.includes('encode'))
  .map(({ method: { name, params } }) => ('residual' in params.shape ? `${name}(residual=32)` : name))
const POLICIES = [
  'full',
  'kivi(bits=4, residual=32)',
  'flexgen(residual=20)',
  'trigger(chunk=40) + h2o(budget=70) + kivi(bits=4, residual=32)',
  'lazyeviction(budget=60, window=5)',
  'cake(budget=50) + d2o',
  'disk(resident=32)',
  'kivi(bits=4, residual=32) + disk(resident=32)',
  'snapkv(budget=110) + disk(resident=20)',
  ...encoders,
  ...encoders.map((text) => `h2o(budget=90) + ${text}`),
  ...encoders.map((text) => `${text} + disk(resident=40)`),
  ...budgeted,
  ...budgeted.map((text) => `${text} + kivi(bits=4, residual=32)`),
  ...budgeted.map((text) => `${text} + flexgen`),
].flatMap((text) => {
  try {
    return [registry.policy(text)]
  } catch (error) {
    if (error instanceof PolicyConflictError) return []
    throw error
  }
})

type Inputs = Record<'q' | 'k' | 'v' | 'retaining', ArrayTensor>[]

function draw({ layers, queryHeads, kvHeads, headDim }: CacheShape, n: number, random: Random): Inputs {
  const tensor = (...shape: number[]): ArrayTensor => ({
    shape,
    dtype: 'float32',
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => 4 * random() - 2),
  })
  return Array.from({ length: layers }, () => ({
    q: tensor(queryHeads, n, headDim),
    k: tensor(kvHeads, n, headDim),
    v: tensor(kvHeads, n, headDim),
    retaining: tensor(kvHeads, n),
  }))
}

async function feed(cache: KvCache, inputs: Inputs): Promise<Buffer> {
  const outputs: Buffer[] = []
  const read = async (): Promise<void> => {
    for (const [layer, input] of inputs.entries()) {
      const { data } = (await cache.layer(layer).attend(input)) as ArrayTensor
      outputs.push(Buffer.from(data.slice().buffer))
    }
  }
  await read()
  if (cache.unread > 0) await cache.reconstruct(Infinity, read)
  return Buffer.concat(outputs)
}

async function saved(cache: KvCache, coding?: PageCoding): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of cache.save({ fingerprint: 'x', coding })) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('a cache file', () => {
  it.each(POLICIES.map((policy): [string, Policy] => [policy.text, policy]))('goes on bit by bit: %s', async (_, policy) => {
    const random = createRandom(POLICIES.indexOf(policy))
    const before = kernels.heap.live
    const cache = new KvCache(SHAPE, { policy, kernels, model })
    for (const n of [150, 1, 1, 30, 1, 1]) await feed(cache, draw(SHAPE, n, random))

    const file = await saved(cache)
    const loaded = await KvCache.load(file, { shape: SHAPE, policy, kernels, model, fingerprint: 'x' })
    const held = cache.ledger()
    const away = Object.values(held.tiers).reduce((a, b) => a + b, 0)
    expect(loaded.ledger()).toMatchObject({
      bytes: held.bytes + away,
      columns: held.columns,
      indices: held.indices,
      rows: held.rows,
      seen: held.seen,
      tiers: {},
    })
    expect(loaded.position).toBe(cache.position)
    expect(loaded.notices).toEqual(cache.notices)
    expect((await saved(loaded)).equals(file)).toBe(true)
    for (const coding of codings) {
      const coded = await saved(cache, coding)
      const again = await KvCache.load(coded, { shape: SHAPE, policy, kernels, model, fingerprint: 'x', codings })
      expect((await saved(again)).equals(file)).toBe(true)
      expect(coded.length).toBeLessThanOrEqual(file.length)
      await again.dispose()
    }

    for (const n of [1, 1, 1, 1, 1, 1, 40, 1, 1]) {
      const inputs = draw(SHAPE, n, random)
      const [a, b] = [await feed(cache, inputs), await feed(loaded, inputs)]
      // Rows on disk are multiplied in another order than rows in memory: the first step after a load is near, not the same.
      if (!policy.place) expect(a.equals(b)).toBe(true)
    }
    if (policy.place) expect(loaded.ledger().tiers).toEqual(cache.ledger().tiers)
    else expect((await saved(loaded)).equals(await saved(cache))).toBe(true)
    await cache.dispose()
    await loaded.dispose()
    expect(kernels.heap.live).toBe(before)
  })

  it('of a cache that reads its prompt twice waits for the second reading', async () => {
    const policy = registry.policy('kvzip(budget=40)')
    const cache = new KvCache(SHAPE, { policy, kernels, model })
    const inputs = draw(SHAPE, 100, createRandom(1))
    for (const [layer, input] of inputs.entries()) await cache.layer(layer).attend(input)
    expect(cache.unread).toBe(100)
    await expect(saved(cache)).rejects.toMatchObject({ code: 'UNFINISHED_PROMPT', message: expect.stringMatching(/second reading/) })
    await cache.reconstruct(Infinity, async () => {
      for (const [layer, input] of inputs.entries()) await cache.layer(layer).attend(input)
    })
    expect((await saved(cache)).length).toBeGreaterThan(0)
    await cache.dispose()
  })
})
