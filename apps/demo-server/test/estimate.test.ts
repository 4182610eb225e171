import { compose, createRandom, describeParams, KvCache, type Policy } from '@kvfold/kv-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createKernels, type Kernels } from '@kvfold/kernels'
import { LlamaModel } from '@kvfold/models'
import { startBackend } from '@kvfold/models/node'
import { TINY, tinyWeights } from '../../../packages/models/test/helpers/tiny-model.ts'
import { CHUNK, mostBytes, stepBytes } from '../src/estimate.ts'
import { registry } from './server.ts'

let model: LlamaModel, kernels: Kernels
beforeAll(async () => {
  await startBackend()
  const config = { ...TINY, width: 64, headDim: 64, maxPositions: 4096 }
  model = await LlamaModel.load(config, tinyWeights(config, 1))
  model.repeat = { whole: [2, 3], from: [4] }
  kernels = createKernels()
})
afterAll(() => model.dispose())

/** Every method that a request may name, by itself, as far as that is a policy. */
const policies: Policy[] = [compose()]
for (const { method } of registry.list()) {
  const takesBudget = describeParams(method).some(({ name }) => name === 'budget')
  for (const params of takesBudget ? [{ budget: 64 }, { budget: '75%' }] : [{}]) {
    for (const others of [[], [registry.get('kivi')({ bits: 2, residual: 32 })], [registry.get('keydiff')({ budget: 100 })]]) {
      try {
        const preset = method(params)
        if (!preset.place) policies.push(compose(preset, ...others))
      } catch {
        // No policy by itself.
      }
    }
  }
}

const random = createRandom(1)
const tokens = (count: number): number[] => Array.from({ length: count }, () => 2 + Math.floor(random() * 48))

it('asks for little more than a full cache takes', async () => {
  const prompt = tokens(2000)
  const cache = new KvCache(model.shape, { kernels, model })
  await model.forward(prompt, cache, { chunk: CHUNK })
  const { peakBytes } = cache.ledger()
  await cache.dispose()
  expect(mostBytes(model, compose(), { seen: 0, held: 0, fresh: prompt.length, made: 0 })).toBeLessThan(1.5 * peakBytes)
})

it('counts the tokens that are made', async () => {
  const cache = new KvCache(model.shape, { kernels, model })
  const most = mostBytes(model, compose(), { seen: 0, held: 0, fresh: 4, made: 600 })
  await model.forward(tokens(4), cache)
  const steps = cache.ledger().bytes + stepBytes(model, compose(), 4, 600)
  for (let i = 0; i < 600; i++) await model.forward(tokens(1), cache)
  const { bytes, peakBytes } = cache.ledger()
  await cache.dispose()
  expect(peakBytes).toBeLessThan(most)
  expect(bytes).toBeLessThan(steps)
})

it('counts what a turn writes anew', async () => {
  const config = { ...TINY, width: 64, headDim: 64, layers: 8, maxPositions: 4096 }
  const deep = await LlamaModel.load(config, tinyWeights(config, 1))
  const policy = registry.policy('keydiff(budget=800)')
  const cache = new KvCache(deep.shape, { policy, kernels, model: deep })
  await deep.forward(tokens(1600), cache, { chunk: CHUNK })
  const { bytes, seen } = cache.ledger()
  const before = kernels.heap.live
  const fork = cache.fork()
  // Some rows of nearly every page leave.
  await deep.forward(tokens(200), fork, { chunk: CHUNK })
  const grown = kernels.heap.live - before
  await Promise.all([cache.dispose(), fork.dispose()])
  deep.dispose()
  expect(grown).toBeGreaterThan(bytes / 2)
  expect(grown).toBeLessThan(mostBytes(deep, policy, { seen, held: bytes, fresh: 200, made: 0 }))
})

it.for(policies.map((policy) => [policy.text, policy] as const))('%s never takes more than was reserved', async ([, policy], { skip }) => {
  const prompt = tokens(400),
    more = tokens(60)
  const made = 40
  // Some need of a model what the tiny one has not: trained heads, a calibration.
  skip(!fits(policy))
  const cache = new KvCache(model.shape, { policy, kernels, model })
  try {
    const most = mostBytes(model, policy, { seen: 0, held: 0, fresh: prompt.length, made })
    await model.forward(prompt, cache, { chunk: CHUNK })
    expect(cache.ledger().peakBytes).toBeLessThan(most)
    const steps = cache.ledger().bytes + stepBytes(model, policy, prompt.length, made)
    for (let i = 0; i < made; i++) await model.forward(tokens(1), cache)
    expect(cache.ledger().bytes).toBeLessThan(steps)
    expect(cache.ledger().peakBytes).toBeLessThan(most)
    // A session's next turn, on a fork.
    const before = cache.ledger()
    const turn = before.bytes + mostBytes(model, policy, { seen: before.seen, held: before.bytes, fresh: more.length, made })
    const fork = cache.fork()
    try {
      const heap = kernels.heap.live
      await model.forward(more, fork, { chunk: CHUNK })
      for (let i = 0; i < made; i++) await model.forward(tokens(1), fork)
      expect(kernels.heap.live - heap + before.bytes).toBeLessThan(turn)
      expect(fork.ledger().peakBytes).toBeLessThan(Math.max(most, turn))
    } finally {
      await fork.dispose()
    }
  } finally {
    await cache.dispose()
  }
})

function fits(policy: Policy): boolean {
  if (policy.needs.retaining) return false
  try {
    void new KvCache(model.shape, { policy, kernels, model }).dispose()
    return true
  } catch {
    return false
  }
}
