import { KvCache } from '@kvfold/kv-core'
import { measureMatmuls } from '@kvfold/models'
import { createRandom } from '@kvfold/kv-core'
import type { Loaded } from '../load.ts'
import { compare, type BenchRow } from './compare.ts'

/** A prompt through the whole model, against its matrix products alone in tfjs. */
export async function benchPrefill({ model, kernels }: Loaded, tokens: number): Promise<BenchRow> {
  const random = createRandom(1)
  const prompt = Array.from({ length: tokens }, () => Math.floor(random() * model.vocabulary))
  return compare(`prefill of ${tokens.toLocaleString('en')} tokens against its matrix products`, 2, 3, async () => {
    const cache = new KvCache(model.shape, { kernels })
    const start = performance.now()
    await model.forward(prompt, cache)
    const time = performance.now() - start
    await cache.dispose()
    return time
  }, async () => (await measureMatmuls(model, tokens)).milliseconds)
}
