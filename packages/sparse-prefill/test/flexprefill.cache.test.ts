import { type ArrayTensor, ownHeap, referenceKernels } from '@kvfold/kernels'
import { type CacheShape, compose, createRandom, KvCache, type PrefillView, type Preset } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { describe, expect, it } from 'vitest'
import { flexprefill } from '../src/index.ts'
import { attention, pairsOf, prefillView } from './view.ts'

testMethod('flexprefill', () => [flexprefill()], { describe, it })
testMethod('flexprefill, small blocks', () => [flexprefill({ block: 16, gamma: 0.6, minBudget: 16 })], { describe, it })

const SHAPE: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 16, rope: 'external' }

function tensor(heads: number, n: number, seed: number): ArrayTensor {
  const random = createRandom(seed)
  return { shape: [heads, n, 16], dtype: 'float32', data: Float32Array.from({ length: heads * n * 16 }, () => random() * 4 - 2) }
}

async function outputs(preset: Preset | undefined, chunks: number[]): Promise<Float32Array[]> {
  const cache = new KvCache(SHAPE, { policy: preset ? compose(preset) : compose(), kernels: referenceKernels(ownHeap()) })
  const out: Float32Array[] = []
  for (const [i, n] of chunks.entries()) {
    const input = { q: tensor(4, n, i * 3), k: tensor(2, n, i * 3 + 1), v: tensor(2, n, i * 3 + 2), more: i < chunks.length - 1 }
    out.push(((await cache.layer(0).attend(input)) as ArrayTensor).data)
  }
  await cache.dispose()
  return out
}

describe('flexprefill, in a cache', () => {
  for (const chunks of [[200], [128, 77], [50, 100, 61]]) {
    it(`attends to exactly the blocks that it chose (chunks of ${chunks.join(', ')})`, async () => {
      const params = { block: 16 as const, gamma: 0.5, minBudget: 16 }
      const preset = flexprefill(params)
      const seen: { view: PrefillView; list: ReturnType<NonNullable<Preset['attention']>['blocks']> }[] = []
      const spy: Preset = {
        ...preset,
        attention: {
          blocks: (view) => {
            const copy = prefillView(view.queries.slice(), view.keys(), view.group, view.headDim)
            const list = preset.attention?.blocks(view)
            // The cache's logits are those of the view made by hand.
            const [ours, theirs] = [view.lastLogits(16), copy.lastLogits(16)]
            ours.forEach((x, i) => x === theirs[i] || expect(x).toBeCloseTo(theirs[i], 4))
            seen.push({ view: copy, list })
            return list
          },
        },
      }
      const got = await outputs(spy, chunks)
      expect(seen).toHaveLength(chunks.length * 2)
      expect(seen.some(({ list }) => list)).toBe(true)
      let before = 0
      chunks.forEach((n, chunk) => {
        for (let head = 0; head < 2; head++) {
          const { view, list } = seen[chunk * 2 + head]
          expect([view.count, view.rows]).toEqual([n, before + n])
          if (list) expect(pairsOf(list, 2).flat().length).toBeLessThan(2 * Math.ceil(n / 16) * Math.ceil(view.rows / 16))
          const values = Float32Array.from(
            chunks.slice(0, chunk + 1).flatMap((m, i) => [...tensor(2, m, i * 3 + 2).data.subarray(head * m * 16, (head + 1) * m * 16)]),
          )
          const expected = attention(view, values, list)
          const part = got[chunk].subarray(head * 2 * n * 16, (head + 1) * 2 * n * 16)
          part.forEach((x, i) => Math.abs(x - expected[i]) < 1e-5 || expect(x).toBeCloseTo(expected[i], 5))
        }
        before += n
      })
    })
  }

  it('is the plain model, bit for bit, where it is dense', async () => {
    const [a] = await outputs(flexprefill({ block: 16, minBudget: 200 }), [200])
    const [b] = await outputs(undefined, [200])
    expect(a).toEqual(b)
  })

  it('is the plain model to rounding with gamma above 1', async () => {
    const [a] = await outputs(flexprefill({ block: 128, tau: 0, gamma: 1.01, minBudget: 1 }), [300])
    const [b] = await outputs(undefined, [300])
    a.forEach((x, i) => Math.abs(x - b[i]) < 1e-5 || expect(x).toBeCloseTo(b[i], 5))
  })
})
