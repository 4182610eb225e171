import { createKernels } from '@kvfold/kernels'
import { compose, createRandom, KvCache, type Preset } from '@kvfold/kv-core'
import { HistoryRecorder, type CacheHistory } from '@kvfold/kv-core/history'

/** The history of a cache of 2 layers x 2 heads that reads `prompt` random tokens, then `steps` more. */
export async function historyOf(presets: readonly Preset[], prompt: number, steps: number): Promise<CacheHistory> {
  const shape = { layers: 2, queryHeads: 2, kvHeads: 2, headDim: 64, rope: { theta: 1e4 } }
  const cache = new KvCache(shape, { policy: compose(...presets), kernels: createKernels(), trace: true })
  const recorder = new HistoryRecorder(cache)
  const random = createRandom(5)
  const tensor = (n: number) => ({
    shape: [2, n, 64],
    dtype: 'float32',
    data: Float32Array.from({ length: 2 * n * 64 }, () => random() - 0.5),
  })
  for (const n of [prompt, ...Array<number>(steps).fill(1)]) {
    for (const layer of [0, 1]) await cache.layer(layer).attend({ q: tensor(n), k: tensor(n), v: tensor(n) } as never)
    recorder.look()
  }
  await cache.dispose()
  return recorder.history
}
