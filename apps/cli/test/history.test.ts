import { ownHeap, type ArrayTensor, wasmKernels } from '@kvfold/kernels'
import { compose, createRandom, describeParams, KvCache, PolicyConflictError, type CacheShape, type Method } from '@kvfold/kv-core'
import { HistoryRecorder } from '@kvfold/kv-core/history'
import { expect, it } from 'vitest'
import { registry } from '../src/registry.ts'
import { randomModel } from './random-model.ts'

const SMALL: Record<string, unknown> = {
  budget: 48,
  window: 8,
  residual: 32,
  resident: 32,
  sinks: 2,
  chunk: 40,
  every: 3,
  contiguous: true,
}
const SHAPE: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 10_000 } }
const MODEL = randomModel(SHAPE)

function policyOf(method: Method): ReturnType<typeof compose> {
  const known = new Set(describeParams(method).map(({ name }) => name))
  const preset = method(Object.fromEntries(Object.entries(SMALL).filter(([name]) => known.has(name))))
  try {
    return compose(preset)
  } catch (error) {
    if (!(error instanceof PolicyConflictError)) throw error
    // What does nothing alone goes with what makes rows leave; a budget needs scores.
    return compose(preset, registry.get(preset.budget ? 'keydiff' : 'h2o')(preset.budget ? {} : { budget: 48 }))
  }
}

const tensor = (heads: number, n: number, random: () => number): ArrayTensor => ({
  shape: [heads, n, 64],
  dtype: 'float32',
  data: Float32Array.from({ length: heads * n * 64 }, () => (random() + random() + random() - 1.5) * 2),
})

it.each(registry.list().map(({ method }) => [method.name, method] as const))(
  'the history of %s has the rows of the cache after every step',
  async (_, method) => {
    const cache = new KvCache(SHAPE, { policy: policyOf(method), kernels: wasmKernels(ownHeap()), model: MODEL, trace: true })
    const recorder = new HistoryRecorder(cache)
    const random = createRandom(2)
    for (const n of [130, 1, 1, 1, 1, 1, 1, 9, 1, 1]) {
      const inputs = Array.from({ length: SHAPE.layers }, () => ({
        q: tensor(4, n, random),
        k: tensor(2, n, random),
        v: tensor(2, n, random),
        hidden: tensor(1, n, random),
        retaining: { shape: [2, n], dtype: 'float32', data: new Float32Array(2 * n).map(random) } as ArrayTensor,
      }))
      const feed = async (): Promise<void> => {
        for (const [layer, input] of inputs.entries()) await cache.layer(layer).attend(input)
      }
      await feed()
      if (cache.unread > 0) await cache.reconstruct(Infinity, feed)
      recorder.look()
      const states = recorder.history.states()
      expect(states.reduce((sum, own) => sum + own.filter((state) => state > 0).length, 0)).toBe(cache.ledger().rows)
      if (cache.policy.select.contiguous) continue
      for (const [head, own] of states.entries())
        for (const position of cache.held(head >> 1, head & 1).positions) expect(own[position]).toBeGreaterThan(0)
    }
    await cache.dispose()
  },
)
