import { memory } from '@tensorflow/tfjs-core'
import { threadedKernels, tfjsHeap } from '@kvfold/kernels'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { LlamaModel } from '../src/decoder/model.ts'
import { measureMatmuls } from '../src/decoder/matmuls.ts'
import type { ModelConfig } from '../src/config/model-config.ts'
import type { Weights } from '../src/weights/weights.ts'
import { useBackend } from './helpers/backend.ts'
import { NaiveCache } from './helpers/naive-cache.ts'
import { relativeError } from './helpers/reference-forward.ts'
import { storedWeights, type StoredType } from './helpers/stored-weights.ts'
import { TINY, tinyWeights } from './helpers/tiny-model.ts'

const config: ModelConfig = { ...TINY, width: 64, feedForward: 96, headDim: 16, vocabulary: 56 }
const tokens = Array.from({ length: 21 }, (_, i) => (i * 17 + 3) % 50)

beforeAll(() => useBackend())
afterEach(() => useBackend())

/** The logits of a prompt, of its tokens one by one and of chunks of three. */
async function logits(model: LlamaModel): Promise<Float32Array[]> {
  const whole = await model.forward(tokens, new NaiveCache(model.shape), { logits: 'all' })
  const cache = new NaiveCache(model.shape)
  const steps: number[] = []
  for (const token of tokens) steps.push(...(await model.forward([token], cache)))
  const parts = await model.forward(tokens, new NaiveCache(model.shape), { logits: 'all', chunk: 3 })
  return [whole, Float32Array.from(steps), parts]
}

/** Loads the same weights on the plain backend, which holds them as float32. */
async function asFloats(own: ModelConfig, weights: Weights): Promise<Float32Array> {
  await useBackend('cpu')
  const model = await LlamaModel.load(own, weights)
  const [whole] = await logits(model)
  model.dispose()
  await useBackend()
  return whole
}

const types: [string, (name: string) => StoredType][] = [
  ['F16', () => 'F16'],
  ['BF16', () => 'BF16'],
  ['Q8_0', () => 'Q8_0'],
  ['Q4_0', () => 'Q4_0'],
  ['Q4_1', () => 'Q4_1'],
  ['a mixture', (name) => (name.includes('mlp') ? 'Q4_1' : name.includes('embed') ? 'Q8_0' : 'F16')],
]

test.each(types)('weights that stay as their file has them give what decoded ones give: %s', async (_, typeOf) => {
  for (const own of [config, { ...config, tiedEmbeddings: false }, { ...config, architecture: 'qwen2' as const }]) {
    const weights = storedWeights(tinyWeights(own, 5, own.architecture === 'qwen2' ? ['q_proj', 'k_proj', 'v_proj'] : []), typeOf)
    const expected = await asFloats(own, weights)
    const tensors = memory().numTensors,
      bytes = tfjsHeap().live
    const model = await LlamaModel.load(own, weights)
    expect(tfjsHeap().live - bytes).toBeGreaterThan(0)
    // Single rows are rounded to 16 bits a block.
    for (const got of await logits(model)) expect(relativeError(got, expected)).toBeLessThan(3e-4)
    model.dispose()
    expect([memory().numTensors, tfjsHeap().live]).toEqual([tensors, bytes])
  }
})

test('threads give what one gives, with weights and copies in their own memory', async () => {
  // The head's 50 outputs do not fill eights: it stays float32, in tfjs's memory.
  const own = { ...config, architecture: 'qwen2' as const, tiedEmbeddings: false, vocabulary: 50, feedForward: 2048 }
  const weights = storedWeights(tinyWeights(own, 5, ['q_proj', 'k_proj', 'v_proj']), () => 'Q4_1')
  const plain = await LlamaModel.load(own, weights)
  const expected = await logits(plain)
  plain.dispose()
  const tensors = memory().numTensors,
    bytes = tfjsHeap().live
  const kernels = await threadedKernels({ threads: 2 })
  const { live } = kernels.heap
  const model = await LlamaModel.load(own, weights, { kernels })
  expect(tfjsHeap().live).toBe(bytes)
  const held = kernels.heap.live
  // Products are the same to the bit; the threads may have taken more scratch.
  expect(await logits(model)).toEqual(expected)
  expect(kernels.heap.live - held).toBeLessThan(2 ** 18)
  model.dispose()
  expect(memory().numTensors).toBe(tensors)
  expect(kernels.heap.live - live).toBeLessThan(2 ** 18)
  await kernels.dispose()
  expect(kernels.heap.live).toBe(0)
})

test('a packed model shows its projections, counts its products, and is the same model', async () => {
  const weights = storedWeights(tinyWeights(config, 5), () => 'Q8_0')
  const model = await LlamaModel.load(config, weights)
  const { keys } = model.projections(0)!
  const { operations } = await measureMatmuls(model, 20)
  await useBackend('cpu')
  const floats = await LlamaModel.load(config, weights)
  expect(relativeError(keys, floats.projections(0)!.keys)).toBeLessThan(1e-6)
  expect(operations).toBe((await measureMatmuls(floats, 20)).operations)
  expect(model.fingerprint).toBe(floats.fingerprint)
  floats.dispose()
  await useBackend()
  model.dispose()
})

test('sizes that do not fill blocks are decoded', async () => {
  const odd = { ...config, vocabulary: 50 }
  const weights = storedWeights(tinyWeights(odd, 5), () => 'F16')
  const expected = await asFloats(odd, weights)
  const model = await LlamaModel.load(odd, weights)
  for (const got of await logits(model)) expect(relativeError(got, expected)).toBeLessThan(1e-5)
  model.dispose()
})
