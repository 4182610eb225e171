import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type ArrayTensor, ownHeap, referenceKernels } from '@kvfold/kernels'
import { affine, type CacheShape, compose, createRandom, KvCache, type Parts, type Preset, TierError } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { disk, memoryTier } from '../src/index.ts'

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'disk-cache-test-'))
afterAll(() => {
  expect(fs.readdirSync(folder)).toEqual([])
  fs.rmdirSync(folder)
})

const preset = (method: string, parts: Parts): Preset => ({ ...parts, method, text: method })
const packed = (): Preset =>
  preset('packed', {
    encode: {
      classes: [
        {
          name: 'packed',
          keys: affine({ bits: 4, axis: 'channel', group: 32 }),
          values: affine({ bits: 4, axis: 'token', group: 32 }),
        },
      ],
      flush: { keys: { keep: 0, step: 32 }, values: { keep: 32, step: 1 } },
    },
  })
/** Keeps the newest rows, in prefill and decode. */
const recent = (tokens: number): Preset =>
  preset('recent', {
    score: { needs: {}, moments: ['prefill', 'decode'], score: (_, head) => Float32Array.from(head.positions) },
    budget: { size: { tokens }, allocate: (seen) => seen.map(({ rows }) => rows.map(() => tokens)) },
  })

const on = (params: Parameters<typeof disk>[0] = {}): Preset => disk({ path: folder, ...params })
testMethod('disk', () => [on({ resident: 16 })], { describe, it })
testMethod('disk, nothing resident, packed', () => [on({ resident: 0 }), packed()], { describe, it })
testMethod('disk, rows leaving', () => [on({ resident: 8 }), recent(100)], { describe, it })

const SHAPE: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 32, rope: { theta: 10_000 } }

const caches = new Set<KvCache>()
afterEach(async () => {
  for (const cache of caches) await close(cache)
})

async function close(cache: KvCache): Promise<void> {
  caches.delete(cache)
  await cache.dispose()
}

function open(...presets: Preset[]): { cache: KvCache; feed: (n: number) => Promise<ArrayTensor[]> } {
  const random = createRandom(7)
  const cache = new KvCache(SHAPE, { policy: compose(...presets), kernels: referenceKernels(ownHeap()) })
  caches.add(cache)
  const tensor = (heads: number, n: number): ArrayTensor => ({
    shape: [heads, n, 32],
    dtype: 'float32',
    data: Float32Array.from({ length: heads * n * 32 }, () => random() * 4 - 2),
  })
  return {
    cache,
    async feed(n) {
      const out: ArrayTensor[] = []
      for (let layer = 0; layer < SHAPE.layers; layer++) {
        out.push((await cache.layer(layer).attend({ q: tensor(4, n), k: tensor(2, n), v: tensor(2, n) })) as ArrayTensor)
      }
      return out
    },
  }
}

describe('disk, in a cache', () => {
  for (const [name, others] of [
    ['raw', []],
    ['packed', [packed()]],
    ['rows leaving', [recent(150)]],
  ] as const) {
    it(`gives what memory gives (${name}), to rounding, and holds the rest elsewhere`, async () => {
      const away = open(on({ resident: 64 }), ...others)
      const near = open(...others)
      let most = 0
      for (const n of [200, 1, 1, 70, ...Array.from({ length: 40 }, () => 1)]) {
        const [a, b] = [await away.feed(n), await near.feed(n)]
        a.forEach(({ data }, layer) => data.forEach((x, i) => expect(Math.abs(x - b[layer].data[i])).toBeLessThan(2e-6)))
        most = Math.max(most, away.cache.ledger().tiers['lmdb'] ?? 0)
      }
      expect(most).toBeGreaterThan(0)
      const [a, b] = [away.cache.ledger(), near.cache.ledger()]
      expect(a.rows).toBe(b.rows)
      expect(a.payload + a.scales + (a.tiers['lmdb'] ?? 0)).toBe(b.payload + b.scales)
      expect(fs.readdirSync(folder)).toHaveLength(1)
      await close(away.cache)
      await close(near.cache)
      expect(fs.readdirSync(folder)).toEqual([])
    })
  }

  it('keeps at least the resident rows in memory, and little more', async () => {
    const { cache, feed } = open(on({ resident: 64 }))
    await feed(640)
    const row = SHAPE.layers * SHAPE.kvHeads * 2 * 32 * 4
    const { payload, tiers } = cache.ledger()
    expect(payload).toBeGreaterThanOrEqual(64 * row)
    expect(payload).toBeLessThan(2 * 64 * row)
    expect(payload + tiers['lmdb']).toBe(640 * row)
    await close(cache)
  })

  it('opens nothing while everything is resident', async () => {
    const { cache, feed } = open(on({ resident: 300 }))
    await feed(200)
    expect(cache.ledger().tiers).toEqual({})
    expect(fs.readdirSync(folder)).toEqual([])
    await close(cache)
  })

  it('forks share a store, and the last one to go takes it away', async () => {
    const { cache, feed } = open(on({ resident: 0 }))
    await feed(128)
    const fork = cache.fork()
    await close(cache)
    expect(fs.readdirSync(folder)).toHaveLength(1)
    const tensor = (heads: number): ArrayTensor => ({ shape: [heads, 1, 32], dtype: 'float32', data: new Float32Array(heads * 32) })
    await fork.layer(0).attend({ q: tensor(4), k: tensor(2), v: tensor(2) })
    await fork.dispose()
    expect(fs.readdirSync(folder)).toEqual([])
  })

  it('two caches may use one folder', async () => {
    const [one, two] = [open(on({ resident: 0 })), open(on({ resident: 0 }))]
    const a = [...(await one.feed(100)), ...(await one.feed(1))]
    const b = [...(await two.feed(100)), ...(await two.feed(1))]
    expect(fs.readdirSync(folder)).toHaveLength(2)
    a.forEach(({ data }, i) => expect(data).toEqual(b[i].data))
    await close(one.cache)
    await two.feed(1)
    await close(two.cache)
  })

  it('says so if a page was damaged meanwhile', async () => {
    const { cache, feed } = open(on({ resident: 0 }))
    await feed(64)
    const file = path.join(folder, fs.readdirSync(folder)[0], 'data.mdb')
    const bytes = fs.readFileSync(file)
    // Pages of 8 KiB: their middle is payload, wherever they are; every overflow page loses a byte.
    const handle = fs.openSync(file, 'r+')
    for (let at = 20_000; at < bytes.length; at += 4096) fs.writeSync(handle, Buffer.from([bytes[at] ^ 1]), 0, 1, at)
    fs.closeSync(handle)
    await expect(feed(1)).rejects.toThrow(TierError)
    await close(cache)
  })

  it('works the same over any tier', async () => {
    const onMemory = preset('elsewhere', { place: { open: () => memoryTier(), leaves: ({ newer }) => newer >= 32 } })
    const [a, b] = [open(on({ resident: 32 })), open(onMemory)]
    for (const n of [150, 1, 1]) {
      const [x, y] = [await a.feed(n), await b.feed(n)]
      x.forEach(({ data }, layer) => expect(data).toEqual(y[layer].data))
    }
    await close(a.cache)
    await close(b.cache)
  })
})
