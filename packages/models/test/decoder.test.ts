import { memory } from '@tensorflow/tfjs-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LlamaModel } from '../src/decoder/model.ts'
import { measureMatmuls } from '../src/decoder/matmuls.ts'
import type { ModelConfig } from '../src/config/model-config.ts'
import { useBackend } from './helpers/backend.ts'
import { NaiveCache } from './helpers/naive-cache.ts'
import { referenceForward, relativeError } from './helpers/reference-forward.ts'
import { TINY, tinyWeights } from './helpers/tiny-model.ts'

const tokens = Array.from({ length: 23 }, (_, i) => (i * 17 + 3) % TINY.vocabulary)

const variants: [string, ModelConfig, string[]][] = [
  ['llama, tied', TINY, []],
  ['llama, untied, all biases', { ...TINY, tiedEmbeddings: false }, ['proj']],
  ['qwen2: bias on q, k, v', { ...TINY, architecture: 'qwen2' }, ['q_proj', 'k_proj', 'v_proj']],
  ['qwen3: q and k norms, wide heads', { ...TINY, architecture: 'qwen3', headDim: 16, queryKeyNorm: true }, []],
  ['mistral, linear rope', { ...TINY, architecture: 'mistral', rope: { theta: 1000, scaling: { type: 'linear', factor: 3 } } }, []],
  ['yarn rope', { ...TINY, rope: { theta: 1000, scaling: { type: 'yarn', factor: 4, originalMaxPositions: 32 } } }, []],
  [
    'one KV head, llama3 rope',
    {
      ...TINY,
      kvHeads: 1,
      rope: { theta: 1000, scaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 64 } },
    },
    [],
  ],
]

describe.each(['wasm', 'cpu'] as const)('decoder on %s', (backend) => {
  beforeAll(() => useBackend(backend))
  afterAll(() => useBackend('wasm'))

  test.each(variants)('agrees with the plain float64 model: %s', async (_, config, bias) => {
    const weights = tinyWeights(config, 7, bias)
    const expected = referenceForward(config, weights, tokens)
    const before = memory().numTensors
    const model = await LlamaModel.load(config, weights)
    const all = await model.forward(tokens, new NaiveCache(model.shape), { logits: 'all' })
    expect(all.length).toBe(tokens.length * config.vocabulary)
    for (let i = 0; i < tokens.length; i++)
      expect(relativeError(all.subarray(i * config.vocabulary, (i + 1) * config.vocabulary), expected[i])).toBeLessThan(2e-5)
    model.dispose()
    model.dispose()
    expect(memory().numTensors).toBe(before)
    await expect(model.forward(tokens, new NaiveCache(model.shape))).rejects.toThrow('disposed')
  })
})

describe('forward', () => {
  let model: LlamaModel
  beforeAll(async () => {
    await useBackend()
    model = await LlamaModel.load(TINY, tinyWeights(TINY, 3))
  })
  afterAll(() => model.dispose())

  test('chunks and single steps give what one pass gives', async () => {
    const whole = await model.forward(tokens, new NaiveCache(model.shape), { logits: 'all' })
    for (const chunk of [1, 5, 8, 22, 23, 100]) {
      const cache = new NaiveCache(model.shape)
      const chunked = await model.forward(tokens, cache, { logits: 'all', chunk })
      expect(relativeError(chunked, whole)).toBeLessThan(1e-5)
      expect(cache.length).toBe(tokens.length)
    }
    const cache = new NaiveCache(model.shape)
    const steps: number[] = []
    for (const token of tokens) steps.push(...(await model.forward([token], cache)))
    expect(relativeError(steps, whole)).toBeLessThan(1e-5)
  })

  test('logits: last, none, the last few', async () => {
    const run = (logits: 'last' | 'all' | 'none' | number): Promise<Float32Array> =>
      model.forward(tokens, new NaiveCache(model.shape), { logits, chunk: 6 })
    const all = await run('all')
    expect((await run('none')).length).toBe(0)
    expect(relativeError(await run('last'), all.subarray(-TINY.vocabulary))).toBeLessThan(1e-6)
    expect(relativeError(await run(9), all.subarray(-9 * TINY.vocabulary))).toBeLessThan(1e-6)
    expect((await run(99)).length).toBe(all.length)
  })

  test('says which chunk of a layer is the last, and goes layer by layer', async () => {
    const cache = new NaiveCache(model.shape)
    const calls: [number, number, boolean | undefined][] = []
    const spy = {
      get length() {
        return cache.length
      },
      layer: (i: number) => ({
        promptQueries: Infinity,
        attend: (input: Parameters<ReturnType<NaiveCache['layer']>['attend']>[0]) => {
          calls.push([i, input.q.shape[1], input.more])
          return cache.layer(i).attend(input)
        },
      }),
    }
    const progress: number[] = []
    await model.forward(tokens, spy, { chunk: 10, onProgress: ({ done, total }) => progress.push(done / total) })
    expect(calls).toEqual([
      [0, 10, true],
      [0, 10, true],
      [0, 3, false],
      [1, 10, true],
      [1, 10, true],
      [1, 3, false],
    ])
    expect(progress.length).toBe(6)
    expect(progress.at(-1)).toBe(1)
  })

  test('refuses bad input before the cache changes', async () => {
    const cache = new NaiveCache(model.shape)
    await expect(model.forward([], cache)).rejects.toMatchObject({ code: 'MODEL_INPUT' })
    await expect(model.forward([3, 50], cache)).rejects.toMatchObject({ code: 'MODEL_INPUT' })
    await expect(model.forward([-1], cache)).rejects.toMatchObject({ code: 'MODEL_INPUT' })
    await expect(model.forward([1.5], cache)).rejects.toMatchObject({ code: 'MODEL_INPUT' })
    await expect(model.forward([1], cache, { chunk: 0 })).rejects.toMatchObject({ code: 'MODEL_INPUT' })
    await expect(model.forward([1], cache, { logits: -1 })).rejects.toMatchObject({ code: 'MODEL_INPUT' })
    await expect(model.forward(new Int32Array(129), cache)).rejects.toMatchObject({ code: 'CONTEXT_LENGTH', limit: 128 })
    await expect(model.forward([1], cache, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' })
    expect(cache.length).toBe(0)
    await model.forward(new Int32Array(128), cache)
    await expect(model.forward([1], cache)).rejects.toThrow(/129 positions .* 128/)
  })

  test('leaks no tensor: steps, an abort half way, a cache that throws', async () => {
    const cache = new NaiveCache(model.shape)
    await model.forward(tokens, cache)
    const before = memory().numTensors
    for (let i = 0; i < 50; i++) await model.forward([i % TINY.vocabulary], cache)
    expect(memory().numTensors).toBe(before)

    const controller = new AbortController()
    const stop = model.forward(tokens, new NaiveCache(model.shape), {
      chunk: 4,
      signal: controller.signal,
      onProgress: ({ done }) => done > 30 && controller.abort(),
    })
    await expect(stop).rejects.toMatchObject({ name: 'AbortError' })
    const failing = { length: 0, layer: () => ({ promptQueries: Infinity, attend: () => Promise.reject(new Error('no room')) }) }
    await expect(model.forward(tokens, failing, { chunk: 4 })).rejects.toThrow('no room')
    expect(memory().numTensors).toBe(before)
  })

  test('takes plain arrays back from a cache', async () => {
    const cache = new NaiveCache(model.shape)
    const plain = {
      length: 0,
      layer: (i: number) => ({
        promptQueries: Infinity,
        async attend(input: Parameters<ReturnType<NaiveCache['layer']>['attend']>[0]) {
          const out = (await cache.layer(i).attend(input)) as unknown as { shape: number[]; dataSync(): Float32Array; dispose(): void }
          const data = out.dataSync()
          out.dispose()
          return { shape: out.shape, dtype: 'float32', data }
        },
      }),
    }
    const before = memory().numTensors
    const logits = await model.forward(tokens, plain)
    expect(relativeError(logits, await model.forward(tokens, new NaiveCache(model.shape)))).toBeLessThan(1e-6)
    expect(memory().numTensors).toBe(before)
  })

  test('measures its matrix products', async () => {
    const before = memory().numTensors
    const { milliseconds, operations } = await measureMatmuls(model, 23, { chunk: 8 })
    expect(milliseconds).toBeGreaterThan(0)
    const perToken = TINY.layers * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48)
    expect(operations).toBe(2 * (23 * perToken + 32 * 50))
    expect(memory().numTensors).toBe(before)
  })
})
