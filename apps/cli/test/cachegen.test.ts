import { RecordedPrompt } from '@kvfold/kv-core'
import { klDivergence, logSoftmax } from '@kvfold/eval'
import { heldOutDocuments } from '@kvfold/eval/node'
import { cachegenCoding } from '@kvfold/quant'
import { expect, it } from 'vitest'
import { load } from '../src/load.ts'
import { registry } from '../src/registry.ts'

const CONTEXT = 640
const NEXT = 128

it('comes nearer to the full cache level by level, and takes more bytes in a coded file: the reference model', async () => {
  const { model, tokenizer, kernels } = await load('reference', true)
  const tokens = (await heldOutDocuments()).map((text) => tokenizer.encode(text)).find(({ length }) => length >= CONTEXT + NEXT)!
  const rest = tokens.slice(CONTEXT, CONTEXT + NEXT)
  const levels = [1, 2, 3] as const
  const policies = [false, true].map((delta) => levels.map((level) => registry.policy(`cachegen(level=${level}, delta=${delta})`)))
  const recorded = new RecordedPrompt(model.shape, policies.flat(), kernels, model)
  await model.forward(tokens.slice(0, CONTEXT), recorded.cache, { logits: 'none' })

  /** Of each next token. */
  const predictions = async (policy: Parameters<typeof recorded.replay>[0]): Promise<{ logProbs: Float64Array[]; bytes: number }> => {
    const cache = await recorded.replay(policy)
    let bytes = 0
    for await (const chunk of cache.save({ fingerprint: model.fingerprint, coding: cachegenCoding })) bytes += chunk.length
    const logits = await model.forward(rest, cache, { logits: 'all' })
    await cache.dispose()
    const width = logits.length / NEXT
    return { bytes, logProbs: Array.from({ length: NEXT }, (_, i) => logSoftmax(logits.subarray(i * width, (i + 1) * width))) }
  }
  const full = await predictions(registry.policy('full'))
  for (const [i, own] of policies.entries()) {
    const found = []
    for (const policy of own) {
      const { logProbs, bytes } = await predictions(policy)
      found.push({ bytes, kld: logProbs.reduce((sum, q, k) => sum + klDivergence(full.logProbs[k], q), 0) / NEXT })
    }
    expect(found[1].bytes).toBeGreaterThan(found[0].bytes * 1.05)
    expect(found[2].bytes).toBeGreaterThan(found[1].bytes * 1.05)
    expect(found[1].kld).toBeLessThan(found[0].kld)
    expect(found[2].kld).toBeLessThan(found[1].kld)
    expect(found[2].kld).toBeLessThan(i === 0 ? 0.005 : 0.05)
    expect(found[2].bytes).toBeLessThan(full.bytes / 5)
  }
  await recorded.cache.dispose()
})
