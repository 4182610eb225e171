import { KvCache } from '@kvfold/kv-core'
import { heldOutDocuments } from '@kvfold/eval/node'
import { measureMatmuls } from '@kvfold/models'
import type { Loaded } from '../load.ts'
import { compare, type BenchRow } from './compare.ts'

/** A prompt of held-out text through the whole model, against the matrix products of its weights alone in tfjs. */
export async function benchPrefill({ model, tokenizer, kernels }: Loaded, tokens: number): Promise<BenchRow> {
  const prompt = tokenizer.encode((await heldOutDocuments()).join('\n\n').slice(0, 8 * tokens)).slice(0, tokens)
  return compare(
    `prefill of ${tokens.toLocaleString('en')} tokens against its matrix products`,
    2,
    3,
    async () => {
      const cache = new KvCache(model.shape, { kernels })
      const start = performance.now()
      await model.forward(prompt, cache)
      const time = performance.now() - start
      await cache.dispose()
      return time
    },
    async () => (await measureMatmuls(model, tokens)).milliseconds,
  )
}
