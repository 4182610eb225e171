import { createKernels } from '@kvfold/kernels'
import { CacheFormatError, compose, createRandom, KvCache, type CacheShape, type Policy } from '@kvfold/kv-core'
import { CacheHistory, HistoryRecorder } from '@kvfold/kv-core/history'
import { describe, expect, it } from 'vitest'
import { draw, feed } from './cache-files.ts'
import { average, largest, mixed, packed } from './toy-methods.ts'

const shape: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 1e4 } }

/** A prompt of 100 tokens and 30 steps, looked at after each. */
async function recorded(policy: Policy): Promise<{ history: CacheHistory; cache: KvCache }> {
  const cache = new KvCache(shape, { policy, kernels: createKernels(), trace: true })
  const recorder = new HistoryRecorder(cache)
  const random = createRandom(3)
  await feed(cache, draw(shape, 100, random))
  recorder.look()
  for (let step = 0; step < 30; step++) {
    await feed(cache, draw(shape, 1, random))
    recorder.look()
  }
  return { history: recorder.history, cache }
}

const held = (states: Uint8Array): number[] => Array.from(states, (state, token) => (state ? token : -1)).filter((token) => token >= 0)

describe('the history of a cache', () => {
  it('shows every token in memory under the full cache', async () => {
    const { history, cache } = await recorded(compose())
    expect(history.frames.map((frame) => frame.tokens)).toEqual(Array.from({ length: 31 }, (_, i) => 100 + i))
    for (const states of history.states(5)) expect([...states]).toEqual(Array(105).fill(1))
    expect(history.storage).toEqual([{ keys: { codec: 'raw32', bits: 32 }, values: { codec: 'raw32', bits: 32 } }])
    // One run for the prompt in each head, and one for each new token.
    expect(history.frames.map(({ changes }) => changes.length / 4)).toEqual(Array(31).fill(4))
    await cache.dispose()
  })

  it('has the rows that the cache has, after every step, and the scores that they had', async () => {
    const { history, cache } = await recorded(compose(largest({ budget: 40 }), packed()))
    for (const [head, states] of history.states().entries()) {
      const { positions, runs } = cache.held(head >> 1, head & 1)
      expect(held(states)).toEqual([...positions].toSorted((a, b) => a - b))
      expect(runs.reduce((sum, { rows }) => sum + rows, 0)).toBe(40)
      expect(history.fate(head, states.indexOf(0))).toEqual({ kind: 'dropped' })
    }
    expect(new Set(history.storage.map(({ keys }) => keys.codec))).toEqual(new Set(['raw32', 'int8/channel16']))
    await cache.dispose()
  })

  it('tells which token took a folded one', async () => {
    const { history, cache } = await recorded(compose(largest({ budget: 40, decode: false }), average()))
    const states = history.states(0)[0]
    const left = Array.from({ length: 100 }, (_, token) => token).filter((token) => !states[token])
    expect(left).toHaveLength(60)
    for (const token of left) expect(history.fate(0, token, 0)).toEqual({ kind: 'folded', into: 99 })
    expect(history.fate(0, 99, 0)).toMatchObject({ kind: 'kept' })
    // The scores are those that chose.
    const scores = (tokens: number[]): number[] => tokens.map((token) => history.scores[0][token])
    expect(Math.min(...scores(held(states)))).toBeGreaterThanOrEqual(Math.max(...scores(left)))
    expect(history.scores[0][100]).toBeNaN()
    expect(history.fate(0, 100, 0)).toEqual({ kind: 'unseen' })
    await cache.dispose()
  })

  it('knows the tokens of rows that are numbered by their places', async () => {
    const [plain, renumbered] = await Promise.all([
      recorded(compose(largest({ budget: 40 }))),
      recorded(compose(largest({ budget: 40, contiguous: true }))),
    ])
    expect(renumbered.cache.held(0, 0).positions).toEqual(Float32Array.from({ length: 40 }, (_, i) => i))
    // Scores of the first cut do not depend on rotations, so the same tokens stay.
    for (const head of [0, 1, 2, 3]) expect(renumbered.history.states(0)[head]).toEqual(plain.history.states(0)[head])
    for (const [head, states] of renumbered.history.states().entries()) {
      expect(held(states)).toHaveLength(40)
      // The newest eight are always kept.
      expect(held(states).slice(-8)).toEqual([122, 123, 124, 125, 126, 127, 128, 129])
      expect(renumbered.history.scores[head]).toHaveLength(130)
    }
    await plain.cache.dispose()
    await renumbered.cache.dispose()
  })

  it('shows the storage of each token where a head has several', async () => {
    const { history, cache } = await recorded(compose(mixed()))
    for (const [head, states] of history.states().entries()) {
      const { positions, runs } = cache.held(head >> 1, head & 1)
      const codecs = runs.flatMap(({ rows, keys }) => Array<string>(rows).fill(keys.codec))
      for (const [row, position] of positions.entries()) expect(history.storage[states[position] - 1].keys.codec).toBe(codecs[row])
      expect(new Set(codecs).size).toBeGreaterThan(1)
    }
    await cache.dispose()
  })

  it('travels as JSON', async () => {
    const { history, cache } = await recorded(compose(largest({ budget: 40 }), average()))
    const again = CacheHistory.from(JSON.parse(JSON.stringify(history)))
    expect(again).toEqual(history)
    expect(again.states(7)).toEqual(history.states(7))
    for (const wrong of [null, 1, {}, { frames: [{}], scores: [] }, { frames: [], scores: ['*'] }])
      expect(() => CacheHistory.from(wrong)).toThrow(CacheFormatError)
    await cache.dispose()
  })

  it('goes on with a fork, and leaves the first history alone', async () => {
    const cache = new KvCache(shape, { policy: compose(largest({ budget: 40, contiguous: true })), kernels: createKernels(), trace: true })
    const recorder = new HistoryRecorder(cache)
    const random = createRandom(4)
    await feed(cache, draw(shape, 100, random))
    recorder.look()
    const fork = cache.fork()
    const further = recorder.fork(fork)
    for (let step = 0; step < 5; step++) {
      await feed(fork, draw(shape, 1, random))
      further.look()
    }
    expect(recorder.history.frames).toHaveLength(1)
    expect(further.history.frames).toHaveLength(6)
    expect(further.history.states(0)).toEqual(recorder.history.states(0))
    for (const states of further.history.states()) expect(held(states).slice(-8)).toEqual([97, 98, 99, 100, 101, 102, 103, 104])
    await cache.dispose()
    await fork.dispose()
  })

  it('needs a trace', () => {
    expect(() => new HistoryRecorder(new KvCache(shape, { kernels: createKernels() }))).toThrow(/trace: true/)
  })
})
