import { tova } from '@kvfold/eviction'
import { compose, createRandom, KvCache, topRows, type CacheShape } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { createKernels } from '@kvfold/kernels'
import { describe, expect, it } from 'vitest'
import { attention, excess, headOf, promptSeen, readGolden, stepSeen } from './support.ts'

it('the worked example: the newest row of five may go', () => {
  const seen = promptSeen([[[0.4, 0.1, 0.3, 0.05, 0.15]], [[0.1, 0.5, 0.1, 0.2, 0.1]]])
  const scores = tova().score!.score(seen, headOf(5))
  expect(excess(scores, [0.25, 0.3, 0.2, 0.125, 0.125], 0, 1e-6)).toBeLessThanOrEqual(0)
  expect([...topRows(scores, 3)]).toEqual([0, 1, 2])
})

describe('NVIDIA/kvpress', () => {
  const golden = readGolden('kvpress_baselines')
  it.each([0, 1])('layer %i: the same scores and rows for all heads', (layer) => {
    const inputs = readGolden(`kvpress_inputs_l${layer}`)
    const heads = attention(inputs['q_post'], inputs['k_post'], 1)
    // Two query heads read each of two KV heads.
    const seen = [heads.slice(0, 2), heads.slice(2)].map((group) => promptSeen(group))
    const scores = tova({ newest: true }).score!.scoreLayer!(seen, [headOf(96), headOf(96)])
    for (const [h, head] of scores.entries()) {
      const theirs = golden[`tova.l${layer}/scores`].data.subarray(h * 96, (h + 1) * 96)
      expect(excess(head.subarray(0, 95), theirs.subarray(0, 95), 1e-4, 1e-7)).toBeLessThanOrEqual(0)
      expect([...topRows(head, 48)]).toEqual([...golden[`tova.l${layer}/kept_sorted`].data.subarray(h * 48, (h + 1) * 48)])
    }
  })
})

it('all heads of a layer keep the same rows, after the prompt and after steps', async () => {
  const shape: CacheShape = { layers: 2, queryHeads: 6, kvHeads: 3, headDim: 32, rope: { theta: 1e4 } }
  const cache = new KvCache(shape, { policy: compose(tova({ budget: 20 })), kernels: createKernels(), trace: true })
  const random = createRandom(7)
  const tensor = (heads: number, n: number): object => ({
    shape: [heads, n, 32],
    dtype: 'float32',
    data: Float32Array.from({ length: heads * n * 32 }, () => random() * 4 - 2),
  })
  for (const n of [70, 1, 1, 1])
    for (const layer of [0, 1]) await cache.layer(layer).attend({ q: tensor(6, n), k: tensor(3, n), v: tensor(3, n) } as never)
  expect(cache.trace!.plans).toHaveLength(8)
  for (const { heads } of cache.trace!.plans) {
    expect(heads[0].keep).toHaveLength(20)
    for (const head of heads) expect(head.keep).toEqual(heads[0].keep)
  }
  await cache.dispose()
})

it('looks at the step after a step', () => {
  const scores = tova().score!.score(
    stepSeen([
      [0.5, 0.5],
      [0.1, 0.9],
    ]),
    headOf(2),
  )
  expect(excess(scores, [0.3, 0.7], 0, 1e-6)).toBeLessThanOrEqual(0)
})

testMethod('tova', () => [tova({ budget: 40 })], { describe, it })
