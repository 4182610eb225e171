import { density } from '@kvfold/merge'
import { compose, defineMethod, type CacheShape } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'

/** Large keys stay: a scorer that looks at no attention. */
const largeKeys = defineMethod({
  name: 'large-keys',
  axes: ['score'],
  summary: 'rows with large keys',
  params: z.object({}),
  create: () => ({
    score: {
      needs: { keys: true },
      score(_seen, { rows, headDim, keys }) {
        const all = keys()
        return Float32Array.from({ length: rows }, (_, i) => Math.hypot(...all.subarray(i * headDim, (i + 1) * headDim)))
      },
    },
  }),
})

it('measures what it needs under any scores', () => {
  expect(compose(density({ budget: 100 }), largeKeys()).needs).toEqual({ columnSums: true, keys: true })
  expect(compose(density({ budget: 100 })).select).not.toBe(compose(largeKeys(), density()).select)
})

const shape: CacheShape = { layers: 3, queryHeads: 4, kvHeads: 2, headDim: 32, rope: { theta: 10_000 } }
testMethod('density', () => [density({ budget: 40 })], { describe, it }, { shape })
testMethod('density over other scores', () => [density({ budget: '30%' }), largeKeys()], { describe, it }, { shape })
