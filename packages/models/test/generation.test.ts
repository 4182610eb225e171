import { memory } from '@tensorflow/tfjs-core'
import { createRandom } from '@kvfold/kv-core'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LlamaModel } from '../src/decoder/model.ts'
import { generate, type FinishReason, type GenerateOptions } from '../src/generation/generate.ts'
import { argmax, sample } from '../src/generation/sample.ts'
import { useBackend } from './helpers/backend.ts'
import { NaiveCache } from './helpers/naive-cache.ts'
import { TINY, tinyWeights } from './helpers/tiny-model.ts'

describe('sample', () => {
  const logits = Float32Array.from([0, 2, 1, 2, -1])
  const counts = (options: Parameters<typeof sample>[1], draws = 20000): number[] => {
    const random = createRandom(5),
      seen = Array.from(logits, () => 0)
    for (let i = 0; i < draws; i++) seen[sample(logits, options, random)]++
    return seen.map((n) => n / draws)
  }
  const softmax = (ids: number[], temperature: number): number[] => {
    const weights = Array.from(logits, (x, i) => (ids.includes(i) ? Math.exp(x / temperature) : 0))
    const total = weights.reduce((a, b) => a + b, 0)
    return weights.map((w) => w / total)
  }
  const close = (a: number[], b: number[]): void => a.forEach((x, i) => expect(Math.abs(x - b[i])).toBeLessThan(0.015))

  test('greedy takes the lowest id of equals', () => {
    expect(sample(logits, {}, () => 0.99)).toBe(1)
    expect(sample(logits, { temperature: 3, topK: 1 }, () => 0.99)).toBe(1)
    expect(argmax([-Infinity, -Infinity])).toBe(0)
  })
  test('temperature gives the softmax', () => {
    close(counts({ temperature: 1 }), softmax([0, 1, 2, 3, 4], 1))
    close(counts({ temperature: 2.5 }), softmax([0, 1, 2, 3, 4], 2.5))
  })
  test('topK keeps the likeliest, of equals the older id', () => {
    close(counts({ temperature: 1, topK: 3 }), softmax([1, 2, 3], 1))
    close(counts({ temperature: 1, topK: 4 }), softmax([0, 1, 2, 3], 1))
    close(counts({ temperature: 1, topK: 99 }), softmax([0, 1, 2, 3, 4], 1))
  })
  test('topP keeps the smallest set that reaches it', () => {
    const p = softmax([0, 1, 2, 3, 4], 1)
    close(counts({ temperature: 1, topP: p[1] - 0.001 }), softmax([1], 1))
    close(counts({ temperature: 1, topP: p[1] + 0.001 }), softmax([1, 3], 1))
    close(counts({ temperature: 1, topP: 0.999 }), softmax([0, 1, 2, 3, 4], 1))
  })
  test('never leaves the nucleus, for any logits', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.integer({ min: -80, max: 80 }).map((x) => x / 4),
          { minLength: 1, maxLength: 60 },
        ),
        fc.double({ min: 0.05, max: 1, noNaN: true }),
        fc.integer({ min: 0, max: 70 }),
        fc.double({ min: 0, max: 0.999999, noNaN: true }),
        (values, topP, topK, draw) => {
          const all = Float32Array.from(values)
          const id = sample(all, { temperature: 1, topP, topK }, () => draw)
          const before = values.filter((_, i) => all[i] > all[id] || (all[i] === all[id] && i < id)).length
          if (topK) expect(before).toBeLessThan(topK)
          // Everything strictly likelier has less than topP together.
          const weight = (x: number): number => Math.exp(x - Math.max(...all))
          const kept = topK ? [...all].sort((a, b) => b - a).slice(0, topK) : [...all]
          const total = kept.reduce((s, x) => s + weight(x), 0)
          const likelier = kept.filter((x) => x > all[id]).reduce((s, x) => s + weight(x), 0)
          expect(likelier).toBeLessThan(topP * total + 1e-9)
        },
      ),
    )
  })
  test('refuses NaN', () => {
    expect(() => sample(Float32Array.from([0, NaN]), {}, () => 0)).toThrow(expect.objectContaining({ code: 'NOT_FINITE' }))
  })
})

describe('generate', () => {
  let model: LlamaModel
  const prompt = [3, 14, 15, 9, 26]
  // Untied: a tied random model repeats its last token.
  const config = { ...TINY, tiedEmbeddings: false, eos: [] }
  beforeAll(async () => {
    await useBackend()
    model = await LlamaModel.load(config, tinyWeights(config, 3))
  })
  afterAll(() => model.dispose())

  const run = async (
    options: GenerateOptions,
    cache = new NaiveCache(model.shape),
  ): Promise<{ tokens: number[]; reason: FinishReason }> => {
    const tokens: number[] = []
    const steps = generate(model, cache, prompt, options)
    for (;;) {
      const step = await steps.next()
      if (step.done) return { tokens, reason: step.value }
      tokens.push(step.value.token)
    }
  }

  test('greedy continues with the likeliest token of the whole sequence', async () => {
    const cache = new NaiveCache(model.shape)
    const { tokens, reason } = await run({ maxTokens: 12 }, cache)
    expect(reason).toBe('length')
    expect(cache.length).toBe(prompt.length + 11)
    const sequence = [...prompt]
    for (const token of tokens) {
      expect(argmax(await model.forward(sequence, new NaiveCache(model.shape)))).toBe(token)
      sequence.push(token)
    }
  })
  test('stops at stop tokens, at the last position, at no tokens', async () => {
    const { tokens } = await run({ maxTokens: 12 })
    const at = tokens.findIndex((token, i) => i > 1 && !tokens.slice(0, i).includes(token))
    expect(await run({ maxTokens: 12, stop: [tokens[at]] })).toEqual({ tokens: tokens.slice(0, at), reason: 'stop' })
    expect((await run({ maxTokens: 0 })).tokens).toEqual([])
    const long = await run({ maxTokens: 1000 })
    expect(long.reason).toBe('context')
    expect(long.tokens.length).toBe(TINY.maxPositions - prompt.length + 1)
  })
  test('the same seed gives the same text, another another', async () => {
    const sampled = (seed: number): ReturnType<typeof run> => run({ maxTokens: 20, sampling: { temperature: 1.5, seed } })
    expect(await sampled(1)).toEqual(await sampled(1))
    expect((await sampled(2)).tokens).not.toEqual((await sampled(1)).tokens)
  })
  test('yields logits when asked', async () => {
    const steps = generate(model, new NaiveCache(model.shape), prompt, { maxTokens: 2, logits: true })
    for await (const { token, logits } of steps) expect(argmax(logits!)).toBe(token)
  })
  test('aborts between steps and leaks nothing, also when left early', async () => {
    const before = memory().numTensors
    const controller = new AbortController()
    const seen: number[] = []
    const steps = generate(model, new NaiveCache(model.shape), prompt, { maxTokens: 50, signal: controller.signal })
    await expect(
      (async () => {
        for await (const { token } of steps) {
          seen.push(token)
          if (seen.length === 3) controller.abort()
        }
      })(),
    ).rejects.toMatchObject({ name: 'AbortError' })
    expect(seen.length).toBe(3)
    for await (const _ of generate(model, new NaiveCache(model.shape), prompt, { maxTokens: 50 })) break
    expect(memory().numTensors).toBe(before)
  })
  test('refuses options that mean nothing', async () => {
    await expect(run({ maxTokens: -1 })).rejects.toMatchObject({ code: 'MODEL_INPUT' })
    for (const sampling of [{ temperature: -1 }, { temperature: NaN }, { topK: 1.5 }, { topP: 0 }, { topP: 2 }])
      await expect(run({ maxTokens: 1, sampling })).rejects.toMatchObject({ code: 'MODEL_INPUT' })
  })
})
