import { h2o, kvcrush, protect, random, snapkv } from '@kvfold/eviction'
import { compose, createRandom, highestScores, type CacheShape } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { anchorBits, distances, representatives, signatures } from '../src/kvcrush.ts'
import { cacheUnder, keptPositions, randomTensors } from './in-cache.ts'
import { headOf, isAscending } from './support.ts'

describe('the worked example', () => {
  const scores = [
    [0.3, 0.25, 0.02, 0.03, 0.2, 0.1, 0.05, 0.05],
    [0.05, 0.3, 0.25, 0.02, 0.03, 0.2, 0.1, 0.05],
    [0.02, 0.05, 0.3, 0.2, 0.25, 0.03, 0.05, 0.1],
  ].map((head) => Float32Array.from(head))
  const bits = signatures(scores, [0, 1, 2, 3, 4, 5, 6, 7])

  it('signatures and distances', () => {
    expect([...bits.values()].map((own) => own.join(''))).toEqual(['100', '110', '011', '001', '101', '110', '010', '001'])
    const anchor = anchorBits('alternating', bits, createRandom(0))
    expect([...anchor]).toEqual([0, 1, 0])
    expect([...distances(bits, anchor).values()]).toEqual([2, 1, 1, 2, 3, 1, 0, 2])
  })

  it('representatives of what the base leaves', () => {
    const distance = distances(bits, anchorBits('alternating', bits, createRandom(0)))
    const rest = [0, 3, 4, 5, 6, 7]
    expect(representatives(rest, distance, 2, 'even')).toEqual([6, 4])
    expect(representatives(rest, distance, 2, 'stride')).toEqual([6, 3])
    expect(representatives(rest, distance, 1, 'even')).toEqual([6])
    expect(representatives(rest, distance, 9, 'even')).toEqual([6, 5, 0, 3, 7, 4])
  })

  it('anchors', () => {
    expect([...anchorBits('mean', bits, createRandom(0))]).toEqual([0, 0, 0])
    expect([...anchorBits('inverse', bits, createRandom(0))]).toEqual([1, 1, 1])
    expect([...anchorBits('ones', bits, createRandom(0))]).toEqual([1, 1, 1])
    expect([...anchorBits('random', bits, createRandom(3))]).toEqual([...anchorBits('random', bits, createRandom(3))])
  })
})

it('keeps the best and the protected rows, and exactly the budget', () => {
  const head = fc.array(fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constant(Infinity)), { minLength: 30, maxLength: 30 })
  const anchors = fc.constantFrom('random', 'mean', 'inverse', 'alternating', 'zeros', 'ones')
  fc.assert(
    fc.property(
      fc.array(head, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 29 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      anchors,
      (all, rows, share, anchor) => {
        const scores = all.map((one) => Float32Array.from(one))
        const { select } = kvcrush({ share, anchor: anchor as 'mean' })
        const kept = select!.selectLayer!(
          scores,
          scores.map(() => rows),
          scores.map(() => headOf(30)),
        )
        for (const [h, own] of kept.entries()) {
          expect(isAscending([...own], 30)).toBe(true)
          expect(own).toHaveLength(rows)
          const secure = all[h].flatMap((score, row) => (score === Infinity ? [row] : []))
          if (secure.length <= rows) for (const row of secure) expect(own).toContain(row)
          if (share === 0) expect([...own]).toEqual([...highestScores.select(scores[h], rows, headOf(30))])
        }
      },
    ),
  )
})

it('without representatives it is the base method, over other scorers too', async () => {
  const shape: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 16, rope: { theta: 1e4 } }
  const kept = async (...presets: Parameters<typeof cacheUnder> extends [CacheShape, ...infer Rest] ? Rest : never) => {
    const cache = cacheUnder(shape, ...presets)
    await cache.layer(0).attend(randomTensors(shape, 90, 4))
    const positions = keptPositions(cache, 0)
    await cache.dispose()
    return positions
  }
  expect(await kept(kvcrush({ share: 0 }), snapkv({ budget: 30, window: 8 }))).toEqual(await kept(snapkv({ budget: 30, window: 8 })))
  expect(await kept(kvcrush({ share: 0 }), random({ budget: 30 }))).toEqual(await kept(random({ budget: 30 })))
  expect(compose(kvcrush(), h2o({ budget: 30 }), protect({ recent: 8 })).text).toContain('kvcrush')
})

testMethod('kvcrush', () => [kvcrush({ share: 0.25 }), snapkv({ budget: 40, window: 8 })], { describe, it })
testMethod('kvcrush over h2o', () => [kvcrush({ share: 0.25 }), h2o({ budget: 40 }), protect({ recent: 8 })], { describe, it })
