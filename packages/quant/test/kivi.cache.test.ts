import { type ArrayTensor, ownHeap, referenceKernels } from '@kvfold/kernels'
import { type CacheShape, compose, createRandom, KvCache, type Ledger, UnsupportedPolicyError } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { describe, expect, it } from 'vitest'
import { kivi } from '../src/index.ts'

testMethod('kivi', () => [kivi()], { describe, it })
testMethod('kivi, 4 bits and a short tail', () => [kivi({ bits: 4, residual: 32 })], { describe, it })
testMethod('kivi, 8 bits and the shortest tail', () => [kivi({ bits: 8, residual: 16 })], { describe, it })

type Params = Parameters<typeof kivi>[0]
const HEAD_DIM = 64
const SHAPE: CacheShape = { layers: 1, queryHeads: 2, kvHeads: 1, headDim: HEAD_DIM, rope: { theta: 10_000 } }

/** Feeds both a KIVI cache and a full one; gives both outputs of every call. */
function pair(params: Params, seed = 1) {
  const random = createRandom(seed)
  const tensor = (heads: number, n: number): ArrayTensor => ({
    shape: [heads, n, HEAD_DIM],
    dtype: 'float32',
    data: Float32Array.from({ length: heads * n * HEAD_DIM }, () => random() * 4 - 2),
  })
  const [cache, full] = [compose(kivi(params)), compose()].map(
    (policy) => new KvCache(SHAPE, { policy, kernels: referenceKernels(ownHeap()) }),
  )
  return {
    ledger: (): Ledger => cache.ledger(),
    async attend(n: number, more = false): Promise<{ error: number; exact: boolean }> {
      const input = { q: tensor(2, n), k: tensor(1, n), v: tensor(1, n), more }
      const a = (await cache.layer(0).attend(input)) as ArrayTensor
      const b = (await full.layer(0).attend(input)) as ArrayTensor
      const distances = a.data.map((x, i) => Math.abs(x - b.data[i]))
      return { error: distances.reduce((x, y) => Math.max(x, y)), exact: distances.every((x) => x === 0) }
    },
    dispose: () => Promise.all([cache.dispose(), full.dispose()]),
  }
}

describe('kivi, in a cache', () => {
  it('changes nothing while everything fits the tails, nor in the prompt, nor in the step that fills the keys’ tail', async () => {
    const short = pair({ residual: 32 })
    expect((await short.attend(20)).exact).toBe(true)
    for (let step = 20; step < 32; step++) expect((await short.attend(1)).exact).toBe(true)
    // Row 32 was read unpacked in the step above; from now on the 32 keys are packed.
    expect((await short.attend(1)).exact).toBe(false)
    await short.dispose()
    const long = pair({})
    expect((await long.attend(300)).exact).toBe(true)
    expect((await long.attend(1)).exact).toBe(false)
    await long.dispose()
  })

  it('holds packed and unpacked rows as the paper does', async () => {
    // [prompt, keys packed, values packed]
    for (const [length, keys, values] of [
      [100, 0, 0],
      [128, 128, 0],
      [130, 128, 2],
      [300, 256, 172],
    ]) {
      const one = pair({ group: 32 })
      await one.attend(length)
      const { scales } = one.ledger()
      const perKeyPage = HEAD_DIM * 4
      const room = (rows: number): number => (rows === 0 ? 0 : Math.ceil(rows / 8) * 8)
      const perValue = (HEAD_DIM / 32) * 4
      expect(scales - (perKeyPage * keys) / 32).toBeGreaterThanOrEqual(perValue * values)
      expect(scales - (perKeyPage * keys) / 32).toBeLessThanOrEqual(perValue * Math.max(room(values), Math.ceil(values / 64) * 64))
      await one.dispose()
    }
  })

  it('stays near the full cache, the nearer the more bits', async () => {
    const errors: number[] = []
    for (const bits of [2, 4, 8] as const) {
      const one = pair({ bits, residual: 32 })
      await one.attend(200)
      let error = 0
      for (let step = 0; step < 40; step++) error = Math.max(error, (await one.attend(1)).error)
      errors.push(error)
      await one.dispose()
    }
    expect(errors[0]).toBeLessThan(0.6)
    expect(errors[1]).toBeLessThan(errors[0] / 3)
    expect(errors[2]).toBeLessThan(errors[1] / 5)
  })

  it('takes at most 1/8 of float32 at 4,096 tokens and after', async () => {
    const cache = new KvCache(SHAPE, { policy: compose(kivi()) })
    const zeros = (heads: number, n: number): ArrayTensor => ({
      shape: [heads, n, HEAD_DIM],
      dtype: 'float32',
      data: new Float32Array(heads * n * HEAD_DIM),
    })
    const attend = (n: number, more: boolean) => cache.layer(0).attend({ q: zeros(2, n), k: zeros(1, n), v: zeros(1, n), more })
    for (let at = 0; at < 4096; at += 128) await attend(128, at < 3968)
    expect(cache.ledger().bytes).toBeLessThan(cache.ledger().fullF32Bytes / 8)
    // The fullest tail of the keys is 127 rows later.
    await attend(127, false)
    expect(cache.ledger().bytes).toBeLessThan(cache.ledger().fullF32Bytes / 8)
    await cache.dispose()
  }, 120_000)

  it('refuses a model whose heads it cannot pack, at construction', () => {
    expect(() => new KvCache({ ...SHAPE, headDim: 80 }, { policy: compose(kivi()) })).toThrow(UnsupportedPolicyError)
    expect(() => new KvCache({ ...SHAPE, headDim: 80 }, { policy: compose(kivi({ group: 16 })) })).not.toThrow()
  })
})
