import { keydiff, locret } from '@kvfold/eviction'
import { compose, UnsupportedPolicyError, type CacheShape } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { describe, expect, it } from 'vitest'
import { cacheUnder, keptPositions, randomTensors } from './in-cache.ts'

const shape: CacheShape = { layers: 1, queryHeads: 2, kvHeads: 1, headDim: 16, rope: { theta: 1e4 } }

it('the worked example: chunks of three, one stabilizer', async () => {
  const cache = cacheUnder(shape, locret({ budget: 4, chunk: 3, stabilizers: 1, local: 0 }))
  const tensors = randomTensors(shape, 7, 1)
  tensors.retaining.data.set([0.9, 0.1, 0.5, 0.2, 0.8, 0.3, 0.7])
  await cache.layer(0).attend(tensors)
  // After 0 to 2 nothing leaves, after 3 to 5 token 5 is protected, after 6 nothing is.
  expect(cache.trace!.plans.map((plan) => Array.from(plan.heads[0].keep, (row) => plan.positions[0][row]))).toEqual([
    [0, 2, 4, 5],
    [0, 2, 4, 6],
  ])
  await cache.dispose()
})

it('the newest rows stay while chunks follow and when the prompt ends; the peak is budget and chunk', async () => {
  const cache = cacheUnder(shape, locret({ budget: 40, chunk: 25 }))
  await cache.layer(0).attend(randomTensors(shape, 210, 2))
  for (const plan of cache.trace!.plans) {
    const [positions] = plan.positions,
      kept = Array.from(plan.heads[0].keep, (row) => positions[row])
    expect(positions.length).toBeLessThanOrEqual(65)
    const newest = plan === cache.trace!.plans.at(-1) ? 10 : 16
    expect(kept.slice(-newest)).toEqual(Array.from(positions.slice(-newest)))
  }
  expect(keptPositions(cache, 0)[0]).toHaveLength(40)
  await cache.dispose()
})

it('a model without retaining heads is refused before anything changes', async () => {
  const cache = cacheUnder(shape, locret({ budget: 40 }))
  const { q, k, v } = randomTensors(shape, 50, 1)
  await expect(cache.layer(0).attend({ q, k, v })).rejects.toThrow(UnsupportedPolicyError)
  expect(cache.length).toBe(0)
  await expect(cache.layer(0).attend({ q, k, v, retaining: { ...randomTensors(shape, 49, 1).retaining } })).rejects.toThrow(
    /retaining has shape/,
  )
  await cache.dispose()
})

it('brings chunks along, and asks no model for scores that it does not read', () => {
  expect(compose(locret()).trigger).toEqual({ chunk: 1024 })
  expect(compose(keydiff()).needs.retaining).toBeUndefined()
})

testMethod('locret', () => [locret({ budget: 40, chunk: 30 })], { describe, it })
testMethod('locret, contiguous', () => [locret({ budget: '30%', chunk: 30, contiguous: true })], { describe, it })
