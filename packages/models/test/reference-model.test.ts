import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createKernels, type Kernels } from '@kvfold/kernels'
import { KvCache, type LayerCache } from '@kvfold/kv-core'
import { memory, type Tensor as TfTensor } from '@tensorflow/tfjs-core'
import { argmax, type LlamaModel, type Tokenizer } from '@kvfold/models'
import { loadModel } from '@kvfold/models/node'
import { modelUrl } from '@kvfold/reference-model'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readSafetensors } from '../../../tooling/safetensors.ts'

interface Golden {
  ids: Int32Array
  topIds: Int32Array
  topLogits: Float32Array
  logits?: Float32Array
  logitPositions: number[]
}

const folder = new URL('../../reference-model/golden/', import.meta.url)
const index = JSON.parse(readFileSync(new URL('golden.json', folder), 'utf8')) as {
  top: number
  prompts: Record<string, { tokens: number; logitPositions: number[] }>
}
const goldens = readGoldens()

let model: LlamaModel, tokenizer: Tokenizer, kernels: Kernels

beforeAll(async () => {
  const loaded = await loadModel(fileURLToPath(modelUrl))
  model = loaded.model
  tokenizer = loaded.tokenizer!
  kernels = createKernels()
})

afterAll(() => model.dispose())

it('retaining heads score as in PyTorch', async () => {
  const { tokens, scores } = readSafetensors(new URL('retaining-heads.safetensors', folder))
  const given: Float32Array[] = []
  const cache = new KvCache(model.shape, { kernels })
  const layer = (index: number): LayerCache => {
    const own = cache.layer(index)
    const attend: LayerCache['attend'] = (input) => {
      given.push((input.retaining as TfTensor).dataSync() as Float32Array)
      return own.attend(input)
    }
    return { attend, promptQueries: Infinity, retaining: true }
  }
  await model.forward(tokens.data, { length: 0, layer }, { logits: 'none' })
  const all = given.flatMap((own) => [...own])
  expect(all).toHaveLength(scores.data.length)
  for (let i = 0; i < all.length; i++) expect(Math.abs(all[i] - scores.data[i])).toBeLessThan(2e-3)
  await cache.dispose()
})

describe('logits of the full cache equal those of PyTorch', () => {
  for (const [name, golden] of Object.entries(goldens)) {
    it(`${name}, ${golden.ids.length} tokens: first choice everywhere, values to 1e-3`, async () => {
      const cache = new KvCache(model.shape, { kernels })
      const n = golden.ids.length,
        { vocabulary } = model,
        { top } = index
      const logits = await model.forward(golden.ids, cache, { logits: 'all', chunk: 1000 })
      const row = (i: number): Float32Array => logits.subarray(i * vocabulary, (i + 1) * vocabulary)
      const scale = golden.topLogits.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      let worst = 0
      for (let i = 0; i < n; i++) {
        expect(argmax(row(i)), `first choice at ${i}`).toBe(golden.topIds[i * top])
        for (let j = 0; j < top; j++) worst = Math.max(worst, Math.abs(row(i)[golden.topIds[i * top + j]] - golden.topLogits[i * top + j]))
      }
      golden.logitPositions.forEach((position, p) => {
        const whole = golden.logits!.subarray(p * vocabulary, (p + 1) * vocabulary)
        whole.forEach((value, j) => {
          worst = Math.max(worst, Math.abs(row(position)[j] - value))
        })
      })
      expect(worst / scale).toBeLessThan(1e-3)
      await cache.dispose()
    })
  }

  it('token by token too', async () => {
    const { ids, topIds } = goldens['plain']
    const cache = new KvCache(model.shape, { kernels })
    for (let i = 0; i < ids.length; i++) expect(argmax(await model.forward([ids[i]], cache))).toBe(topIds[i * index.top])
    await cache.dispose()
  })
})

it('a decode step leaves no tensor and no heap memory behind', async () => {
  const weights = kernels.heap.live
  const cache = new KvCache(model.shape, { kernels })
  await model.forward(goldens['needle'].ids, cache)
  await model.forward([5], cache)
  const tensors = memory().numTensors
  for (let i = 0; i < 30; i++) await model.forward([i + 2], cache)
  expect(memory().numTensors).toBe(tensors)
  await cache.dispose()
  expect(kernels.heap.live).toBe(weights)
})

it('the tokenizer gives what the library that trained it gives, for odd texts too', () => {
  const texts = JSON.parse(readFileSync(new URL('tokenizer.json', folder), 'utf8')) as { text: string; ids: number[] }[]
  for (const { text, ids } of texts) expect(tokenizer.encode(text, { special: false }), `text ${JSON.stringify(text)}`).toEqual(ids)
})

function readGoldens(): Record<string, Golden> {
  const tensors = readSafetensors(new URL('golden.safetensors', folder))
  return Object.fromEntries(
    Object.entries(index.prompts).map(([name, { logitPositions }]) => [
      name,
      {
        ids: tensors[`${name}.ids`].data as Int32Array,
        topIds: tensors[`${name}.top_ids`].data as Int32Array,
        topLogits: tensors[`${name}.top_logits`].data as Float32Array,
        logits: tensors[`${name}.logits`]?.data as Float32Array | undefined,
        logitPositions,
      },
    ]),
  )
}
