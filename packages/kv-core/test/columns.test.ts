import { createKernels, type ArrayTensor } from '@kvfold/kernels'
import {
  affine,
  compose,
  createRandom,
  defineMethod,
  type Encoder,
  KvCache,
  type Preset,
  raw32,
  uniform,
  type CacheShape,
} from '@kvfold/kv-core'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { PlainAttention, randomInputs, relativeError, type Inputs } from './plain-attention.ts'
import { aging, largest } from './toy-methods.ts'

const shape: CacheShape = { layers: 1, queryHeads: 2, kvHeads: 1, headDim: 16, rope: 'external' }

const tensors = ({ q, k, v, n }: Inputs): Record<'q' | 'k' | 'v', ArrayTensor> => {
  const tensor = (data: Float32Array): ArrayTensor => ({ shape: [data.length / n / 16, n, 16], dtype: 'float32', data })
  return { q: tensor(q), k: tensor(k), v: tensor(v) }
}

it('a column named bias is added to the logits, in decode and in a prompt', async () => {
  // Every second row of the first prompt is as good as gone.
  const hiding = defineMethod({
    name: 'hiding',
    axes: ['budget', 'score'],
    summary: 'hides rows',
    params: z.object({}),
    create: () => ({
      budget: uniform({ tokens: 1000 }),
      score: {
        needs: {},
        columns: [{ name: 'bias', initial: 0 }],
        score: (_, head) => {
          head.column('bias').forEach((_, i, bias) => {
            if (head.seen === 60 && i % 2 === 1) bias[i] = -1e9
          })
          return new Float32Array(head.rows)
        },
      },
    }),
  })
  const random = createRandom(4)
  const cache = new KvCache(shape, { policy: compose(hiding()), kernels: createKernels() })
  const plain = new PlainAttention(shape)
  const prompt = randomInputs(shape, 60, random)
  await cache.layer(0).attend(tensors(prompt))
  const even = (data: Float32Array): Float32Array => data.filter((_, i) => Math.floor(i / 16) % 2 === 0)
  plain.attend({ q: new Float32Array(2 * 30 * 16), k: even(prompt.k), v: even(prompt.v), n: 30 })
  for (const n of [1, 1, 20, 1]) {
    const inputs = randomInputs(shape, n, random)
    const out = (await cache.layer(0).attend(tensors(inputs))) as ArrayTensor
    expect(relativeError(out.data, plain.attend(inputs))).toBeLessThan(1e-5)
  }
  await cache.dispose()
})

it('an encoder sees the scores of the rows that stay', async () => {
  const seen: number[][] = []
  const byScore = defineMethod({
    name: 'by-score',
    axes: ['encode'],
    summary: 'stores rows by score',
    params: z.object({}),
    create: () => {
      const small = affine({ bits: 8, axis: 'token', group: 16 })
      return {
        encode: {
          classes: [
            { name: 'raw', keys: raw32, values: raw32 },
            { name: 'int8', keys: small, values: small },
          ],
          flush: { keys: { keep: 0, step: 1 }, values: { keep: 0, step: 1 } },
          assign: (kept, scores) => {
            seen.push([...scores!])
            return Uint8Array.from(kept, (_, i) => (scores![i] === Infinity ? 0 : 1))
          },
        },
      }
    },
  })
  const cache = new KvCache(shape, {
    policy: compose(largest({ budget: 20, decode: false }), byScore()),
    kernels: createKernels(),
    trace: true,
  })
  const inputs = randomInputs(shape, 50, createRandom(5))
  await cache.layer(0).attend(tensors(inputs))
  expect(seen[0]).toHaveLength(20)
  expect(seen[0].slice(-8).every((score) => score === Infinity)).toBe(true)
  // The score of a kept row is the sum of its key's magnitudes.
  cache.trace!.plans[0].heads[0].keep.slice(0, 12).forEach((row, i) => {
    const sum = inputs.k.subarray(row * 16, row * 16 + 16).reduce((total, x) => total + Math.abs(x), 0)
    expect(seen[0][i]).toBeCloseTo(sum, 3)
  })
  expect(cache.ledger().scales).toBeGreaterThan(0)
  await cache.dispose()
})

it('an encoder that looks after every step moves packed rows on, and knows which it moved', async () => {
  const moved: number[] = []
  const { encode } = aging()
  const watched: Preset = {
    ...aging(),
    encode: {
      ...(encode as Encoder),
      assign: (kept, scores, head, moment) => {
        expect(moment).toBe([20, 56].includes(kept.length) ? 'prefill' : 'decode')
        moved.push(head.moved)
        expect([...head.positions.subarray(0, head.moved)]).toEqual(Array.from({ length: head.moved }, (_, i) => i))
        return (encode as Encoder).assign!(kept, scores, head, moment)
      },
    },
  }
  const cache = new KvCache(shape, { policy: compose(watched), kernels: createKernels() })
  const random = createRandom(6)
  for (const n of [20, 1, 1, 1, 1, 1, 1, 30, 1]) await cache.layer(0).attend(tensors(randomInputs(shape, n, random)))
  expect(moved).toEqual([0, 0, 0, 0, 0, 0, 1, 2, 32])
  await cache.dispose()
})
