import { windowkv } from '@kvfold/eviction'
import { testMethod } from '@kvfold/kv-core/testing'
import type { CacheShape } from '@kvfold/kv-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { wholeChunks } from '../src/whole-chunks.ts'
import { groupRows } from '../src/windowkv.ts'
import { cacheUnder, keptPositions, randomTensors } from './in-cache.ts'
import { excess, headOf, promptSeen } from './support.ts'

// Sums of attention over 14 review rows, in windows of 4; one query, and one row of suffix.
const review = [0.3, 0.02, 0.01, 0.01, 0.05, 0.06, 0.05, 0.06, 0.2, 0, 0.2, 0, 0.02, 0.02]
const seen = promptSeen([[[...review, 0]]])

describe('the worked example', () => {
  it.each([
    ['average', [0.085, 0.055, 0.1, 0.02]],
    ['max', [0.16, 0.06, 0.2, 0.02]],
  ] as const)('%s: scores of windows', (strategy, expected) => {
    const scores = windowkv({ strategy, size: 4, suffix: 1 }).score!.score(seen, headOf(15))
    expect(
      excess(
        [0, 4, 8, 12].map((row) => scores[row]),
        expected,
        0,
        1e-6,
      ),
    ).toBeLessThanOrEqual(0)
    expect(scores[14]).toBe(Infinity)
    // Windows 2 and 0 do not both fit the 6 rows that the example asks for: the budget is never exceeded.
    expect([...wholeChunks(4).select(scores, 1 + 8, headOf(15))]).toEqual([0, 1, 2, 3, 8, 9, 10, 11, 14])
    expect([...wholeChunks(4).select(scores, 1 + 6, headOf(15))]).toEqual([8, 9, 10, 11, 14])
  })

  it('budgets of groups, the first held down to the mean', () => {
    const code = [
      [1024, 32, 8, [1463, 1171, 879, 585]],
      [512, 32, 8, [732, 586, 440, 292]],
      [2048, 28, 7, [3072, 2390, 1708, 1024]],
    ] as const
    for (const [base, layers, group, expected] of code) {
      const over = expected.reduce((a, b) => a + b, 0) - 4 * base
      const ours = [0, 1, 2, 3].map((g) => groupRows(g, layers, group, base + 32, 32) - 32)
      expect(ours).toEqual(expected.map((rows, g) => rows - (g === 0 ? Math.max(0, over) : 0)))
    }
  })
})

it('groups never get more than the budget together, and all get the suffix', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 3000 }),
      fc.integer({ min: 1, max: 40 }),
      (groups, group, rows, suffix) => {
        const layers = groups * group
        const all = Array.from({ length: layers }, (_, layer) => groupRows(Math.floor(layer / group), layers, group, rows, suffix))
        expect(all.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(layers * rows)
        for (const own of all) expect(own).toBeGreaterThanOrEqual(Math.min(rows, suffix))
      },
    ),
  )
})

it('all layers of a group keep the same rows in all heads, as far as their budget goes', async () => {
  const shape: CacheShape = { layers: 4, queryHeads: 4, kvHeads: 2, headDim: 16, rope: { theta: 1e4 } }
  const cache = cacheUnder(shape, windowkv({ budget: 60, size: 5, suffix: 8, group: 2 }))
  for (let layer = 0; layer < 4; layer++) await cache.layer(layer).attend(randomTensors(shape, 203, layer))
  for (let layer = 0; layer < 4; layer++) {
    const kept = keptPositions(cache, layer)
    expect(kept[1]).toEqual(kept[0])
    expect(kept[0].slice(-8)).toEqual([195, 196, 197, 198, 199, 200, 201, 202])
    // Every kept row lies in a window that is kept whole.
    for (const position of kept[0]) {
      const start = position - (position % 5)
      if (position < 195) for (let row = start; row < start + 5; row++) expect(kept[0]).toContain(row)
    }
    if (layer % 2 === 1) expect(kept).toEqual(keptPositions(cache, layer - 1))
  }
  expect(keptPositions(cache, 2)).not.toEqual(keptPositions(cache, 0))
  await cache.dispose()
})

testMethod('windowkv', () => [windowkv({ budget: 40, suffix: 8, size: 4, group: 1 })], { describe, it })
testMethod('windowkv, average', () => [windowkv({ budget: '30%', strategy: 'average', group: 2 })], { describe, it })
