import { pyramidkv, snapkv } from '@kvfold/eviction'
import { compose } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { pyramidRows } from '../src/pyramidkv.ts'

const all = (layers: number, rows: number, tokens: number, window: number, beta: number): number[] =>
  Array.from({ length: layers }, (_, layer) => pyramidRows(layer, layers, rows, tokens, window, beta))

it('the worked example, with steps that hold the budget', () => {
  // The authors’ code gives 63, 43, 23 and 3: each layer within half of the floored step’s loss.
  expect(all(4, 32 + 8, 10_000, 8, 20).map((rows) => rows - 8)).toEqual([63, 42, 22, 1])
})

it('is even where the prompt has no room for a pyramid, and where there is one layer', () => {
  expect(all(4, 40, 39, 8, 20)).toEqual([40, 40, 40, 40])
  expect(all(4, 40, 60, 8, 20)).toEqual([40, 40, 40, 40])
  expect(all(1, 40, 1000, 8, 20)).toEqual([40])
  expect(all(3, 8, 1000, 8, 20)).toEqual([8, 8, 8])
})

it('falls from layer to layer, keeps the window everywhere, and adds up to the budget', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 40 }),
      fc.integer({ min: 1, max: 600 }),
      fc.integer({ min: 1, max: 5000 }),
      fc.integer({ min: 1, max: 64 }),
      fc.integer({ min: 1, max: 40 }),
      (layers, base, tokens, window, beta) => {
        const rows = all(layers, base + window, tokens, window, beta)
        expect(rows.reduce((a, b) => a + b, 0)).toBe(layers * (base + window))
        rows.forEach((count, layer) => {
          expect(count).toBeGreaterThanOrEqual(window)
          if (layer > 0) expect(count).toBeLessThanOrEqual(rows[layer - 1])
        })
      },
    ),
  )
})

it('brings scores along unless another preset decides them', () => {
  expect(compose(pyramidkv({ budget: 100, window: 16 })).needs.windowAttention).toBe(16)
  expect(compose(pyramidkv({ budget: 100, window: 16 }), snapkv({ window: 24 })).needs.windowAttention).toBe(24)
})

testMethod('pyramidkv', () => [pyramidkv({ budget: 60, window: 8, beta: 4 })], { describe, it })
