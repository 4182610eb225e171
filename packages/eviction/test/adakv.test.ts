import { adakv, knorm, snapkv } from '@kvfold/eviction'
import { compose } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { shareHeads } from '../src/adakv.ts'
import { readGolden } from './support.ts'

describe('KVCache-Factory', () => {
  const golden = readGolden('kvcf_adakv')
  it.each([
    ['adakv', 0.2, true],
    ['adakv_nonorm', 0.5, false],
    ['adakv_avgpool', 0.2, true],
    ['adakv_avgpool_nonorm', 0.5, false],
  ])('%s: as many rows for each head', (name, safeguard, normalize) => {
    const { data, shape } = golden[`${name}/scores`]
    const [heads, prefix] = shape.slice(-2)
    // Eight protected rows, the window, follow the scored ones.
    const scores = Array.from({ length: heads }, (_, h) =>
      Float32Array.from([...data.subarray(h * prefix, (h + 1) * prefix), ...new Float32Array(8).fill(Infinity)]),
    )
    expect(shareHeads(scores, 32, safeguard, normalize)).toEqual([...golden[`${name}/head_lens`].data])
  })
})

it('the worked example: counts of 8 and 12 stay 8 and 12', () => {
  // Two heads, ten rows each on average: the second has twelve of the best twenty.
  const head = (good: number): Float32Array => Float32Array.from({ length: 40 }, (_, i) => (i < good ? 2 : 1 / (i + 1)))
  expect(shareHeads([head(8), head(12)], 10, 0.2, false)).toEqual([8, 12])
})

it('never exceeds the budget, gives every head its safeguard, and keeps protected rows', () => {
  const scores = fc.array(fc.float({ min: 0, max: 1, noNaN: true }), { minLength: 60, maxLength: 60 })
  fc.assert(
    fc.property(
      fc.array(scores, { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 9, max: 59 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.boolean(),
      (values, rows, safeguard, normalize) => {
        const heads = values.map((head) => Float32Array.from([...head.slice(8), ...new Float32Array(8).fill(Infinity)]))
        const shares = shareHeads(heads, rows, safeguard, normalize)
        expect(shares.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(rows * heads.length)
        for (const share of shares) expect(share).toBeGreaterThanOrEqual(8 + Math.floor((rows - 8) * safeguard) - 1)
      },
    ),
  )
})

it('shares what another preset scores, and brings scores along otherwise', () => {
  expect(compose(adakv({ budget: 50 }), knorm()).needs).toEqual({ keys: true })
  expect(compose(adakv({ budget: 50, window: 16 })).needs.windowAttention).toBe(16)
  expect(compose(adakv({ budget: 50 }), snapkv({ window: 8 })).needs.windowAttention).toBe(8)
})

testMethod('adakv', () => [adakv({ budget: 48, window: 8 })], { describe, it })
testMethod('adakv over keys', () => [adakv({ budget: '30%' }), knorm()], { describe, it })
