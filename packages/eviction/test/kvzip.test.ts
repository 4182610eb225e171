import { kvzip } from '@kvfold/eviction'
import { compose, KvCache, ReconstructionError, type CacheShape } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { createKernels, ownHeap, referenceKernels, type Kernels } from '@kvfold/kernels'
import { describe, expect, it } from 'vitest'
import { cacheUnder, noted, randomTensors, tensorOf } from './in-cache.ts'
import { attention, excess, readGolden } from './support.ts'

const shape: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 16, rope: 'external' }

describe('NVIDIA/kvpress', () => {
  const golden = readGolden('kvpress_kvzip_chunked')
  const inputs = [0, 1].map((layer) => readGolden(`kvpress_inputs_l${layer}`))
  it.each(['kvzip', 'kvzip_layerwise'])('%s: the same scores, and the same rows of the whole cache', async (id) => {
    const scores: Float32Array[] = []
    const preset = kvzip({ budget: '50%', layerwise: id === 'kvzip_layerwise' })
    const cache = cacheUnder(shape, noted(preset, scores))
    for (const layer of [0, 1])
      await cache
        .layer(layer)
        .attend({ q: tensorOf(inputs[layer]['q_post']), k: tensorOf(inputs[layer]['k_post']), v: tensorOf(inputs[layer]['v']) })
    expect(cache.unread).toBe(96)
    await cache.reconstruct(48, async (first) => {
      for (const layer of [0, 1]) {
        const at = `chunk${first / 48}/l${layer}`
        await cache
          .layer(layer)
          .attend({ q: tensorOf(golden[`${at}/q_post`]), k: tensorOf(golden[`${at}/keys`]), v: tensorOf(golden[`${at}/values`]) })
      }
    })
    expect(cache.length).toBe(96)
    for (let i = 0; i < 4; i++) {
      const theirs = golden[`${id}/scores`].data.subarray(i * 96, (i + 1) * 96)
      expect(excess(scores[i], theirs, 1e-4, 1e-6)).toBeLessThanOrEqual(0)
      const kept = [...golden[`${id}/mask`].data.subarray(i * 96, (i + 1) * 96).entries()].flatMap(([row, gone]) => (gone ? [] : [row]))
      const plan = cache.trace!.plans.find((one) => one.layer === i >> 1)!
      expect([...plan.heads[i & 1].keep]).toEqual(kept)
    }
    await cache.dispose()
  })
})

it.each<[string, () => Kernels]>([
  ['wasm', () => createKernels()],
  ['reference', () => referenceKernels(ownHeap())],
])('scores are plain attention’s maxima over the repeated part and the reading’s own rows, on %s', async (_, kernels) => {
  const cache = new KvCache({ ...shape, layers: 1 }, { policy: compose(kvzip({ budget: 100 })), kernels: kernels() })
  const prompt = randomTensors(shape, 70, 1)
  const again = [randomTensors(shape, 45, 2), randomTensors(shape, 36, 3)]
  await cache.layer(0).attend(prompt)
  await cache.reconstruct(40, async (first) => {
    // In two chunks, as a model would feed it.
    const { q, k, v } = again[first / 40]
    const n = q.shape[1]
    const cut = (t: typeof q, from: number, to: number): typeof q => ({
      ...t,
      shape: [t.shape[0], to - from, 16],
      data: Float32Array.from({ length: t.shape[0] * (to - from) * 16 }, (_value, i) => {
        const each = (to - from) * 16
        return t.data[Math.floor(i / each) * n * 16 + from * 16 + (i % each)]
      }),
    })
    await cache.layer(0).attend({ q: cut(q, 0, 20), k: cut(k, 0, 20), v: cut(v, 0, 20), more: true })
    await cache.layer(0).attend({ q: cut(q, 20, n), k: cut(k, 20, n), v: cut(v, 20, n) })
  })
  // oxlint-disable-next-line no-explicit-any
  const head = (cache as any).layers[0].heads[1]
  const ours: Float32Array = head.columns.get('reconstruction')
  for (const [part, from, to] of [
    [0, 0, 40],
    [1, 40, 70],
  ]) {
    const { q, k } = again[part]
    const n = q.shape[1],
      sinks = Math.min(4, from),
      before = sinks + to - from
    const keys = new Float32Array((before + n) * 16)
    keys.set(prompt.k.data.subarray(70 * 16, (70 + sinks) * 16))
    keys.set(prompt.k.data.subarray((70 + from) * 16, (70 + to) * 16), sinks * 16)
    keys.set(k.data.subarray(n * 16, 2 * n * 16), before * 16)
    // Queries of the second KV head's group, with as many before them as there are earlier rows, which nobody asks.
    const queries = new Float32Array(2 * (before + n) * 16)
    for (const g of [0, 1]) queries.set(q.data.subarray((2 + g) * n * 16, (3 + g) * n * 16), (g * (before + n) + before) * 16)
    const rows = attention({ shape: [2, before + n, 16], data: queries }, { shape: [1, before + n, 16], data: keys }, n)
    const expected = Float64Array.from({ length: to - from }, (_value, j) =>
      Math.max(...rows.flatMap((query) => query.map((row) => row[sinks + j]))),
    )
    expect(excess(ours.subarray(from, to), expected, 1e-4, 1e-6)).toBeLessThanOrEqual(0)
  }
  await cache.dispose()
})

it('waits for the second reading, and says so', async () => {
  const cache = cacheUnder(shape, kvzip({ budget: 20 }))
  await expect(cache.reconstruct(10, async () => {})).rejects.toThrow(ReconstructionError)
  for (const layer of [0, 1]) await cache.layer(layer).attend(randomTensors(shape, 50, layer))
  expect(cache.ledger().rows).toBe(4 * 50)
  await expect(cache.layer(0).attend(randomTensors(shape, 1, 5))).rejects.toThrow(/twice/)
  // A reading that fails leaves the prompt waiting, and nothing of itself.
  const failing = cache.reconstruct(25, async () => {
    await cache.layer(0).attend({ ...randomTensors(shape, 30, 7), more: true })
    throw new Error('the model broke')
  })
  await expect(failing).rejects.toThrow('the model broke')
  expect([cache.ledger().rows, cache.length, cache.unread]).toEqual([200, 50, 50])
  await cache.reconstruct(50, async () => {
    for (const layer of [0, 1]) await cache.layer(layer).attend(randomTensors(shape, 55, layer))
  })
  expect(cache.ledger().rows).toBe(4 * 20)
  expect(cache.unread).toBe(0)
  await cache.layer(0).attend(randomTensors(shape, 1, 5))
  await cache.dispose()
})

testMethod('kvzip', () => [kvzip({ budget: 40 })], { describe, it })
testMethod('kvzip, layerwise', () => [kvzip({ budget: '30%', layerwise: true })], { describe, it })
