import { keydiff, knorm, random } from '@kvfold/eviction'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { excess, headOf, keep, partsOf, readGolden } from './support.ts'

const nothing = { moment: 'prefill', group: 1 } as const
const headWith = (keys: Float32Array, headDim: number): ReturnType<typeof headOf> => headOf(keys.length / headDim, undefined, {}, keys)

// Four keys of two channels, by hand.
const four = headWith(Float32Array.of(1, 0, 0.9, 0.1, 0, 1, -0.5, 0.5), 2)

describe('the worked examples', () => {
  it('knorm: the smallest keys', () => {
    expect(excess(knorm().score!.score(nothing, four), [-1, -0.905539, -1, -Math.SQRT1_2], 0, 1e-6)).toBeLessThanOrEqual(0)
    expect(keep(knorm(), nothing, four, 2)).toEqual([1, 3])
  })

  it('keydiff: the keys that point away from the mean', () => {
    expect(excess(keydiff().score!.score(nothing, four), [-0.577824, -0.66442, -0.816161, -0.16853], 0, 1e-6)).toBeLessThanOrEqual(0)
    expect(keep(keydiff(), nothing, four, 2)).toEqual([0, 3])
  })
})

describe('NVIDIA/kvpress', () => {
  const golden = readGolden('kvpress_baselines')
  it.each([
    ['knorm', knorm()],
    ['keydiff', keydiff()],
  ])('%s: the same scores and the same rows', (name, preset) => {
    for (const layer of [0, 1]) {
      const keys = readGolden(`kvpress_inputs_l${layer}`)['k_post'].data as Float32Array
      for (const head of [0, 1]) {
        const view = headWith(keys.slice(head * 96 * 16, (head + 1) * 96 * 16), 16)
        const scores = golden[`${name}.l${layer}/scores`].data.subarray(head * 96, (head + 1) * 96)
        expect(excess(preset.score!.score(nothing, view), scores, 1e-5, 1e-6)).toBeLessThanOrEqual(0)
        const kept = golden[`${name}.l${layer}/kept_sorted`].data.subarray(head * 48, (head + 1) * 48)
        expect(keep(preset, nothing, view, 48)).toEqual([...kept])
      }
    }
  })
})

describe('edges', () => {
  it('zero keys, one row and none give finite scores', () => {
    for (const preset of [knorm(), keydiff()])
      for (const keys of [new Float32Array(48), new Float32Array(16).fill(2)])
        expect(preset.score!.score(nothing, headWith(keys, 16)).every(Number.isFinite)).toBe(true)
  })

  it('keydiff does not depend on the keys’ lengths', () => {
    fc.assert(
      fc.property(fc.array(fc.float({ min: Math.fround(0.1), max: 3, noNaN: true }), { minLength: 32, maxLength: 32 }), (values) => {
        const keys = Float32Array.from(values)
        const longer = keys.map((x, i) => x * (1 + Math.floor(i / 8)))
        expect(
          excess(keydiff().score!.score(nothing, headWith(longer, 8)), keydiff().score!.score(nothing, headWith(keys, 8)), 1e-4, 1e-5),
        ).toBeLessThanOrEqual(0)
      }),
    )
  })
})

it('random: the same rows for the same seed, others for another head, layer or seed, and all equally often', () => {
  const view = (layer: number, head: number): ReturnType<typeof headOf> => ({ ...headOf(100), layer, head })
  const kept = (seed: number, layer: number, head: number): string => keep(random({ seed }), nothing, view(layer, head), 50).join()
  expect(kept(1, 2, 3)).toBe(kept(1, 2, 3))
  expect(new Set([kept(1, 2, 3), kept(2, 2, 3), kept(1, 3, 3), kept(1, 2, 4)]).size).toBe(4)
  const times = new Float64Array(100)
  for (let seed = 0; seed < 400; seed++) for (const row of keep(random({ seed }), nothing, view(0, 0), 50)) times[row]++
  // 200 expected, standard deviation 10.
  for (const count of times) expect(Math.abs(count - 200)).toBeLessThan(60)
})

it('half of the tokens stay unless a budget says otherwise', () => {
  for (const make of [knorm, keydiff, random]) {
    expect(partsOf(make()).budget!.size).toEqual({ ratio: 0.5 })
    expect(make({ budget: 7 }).budget!.size).toEqual({ tokens: 7 })
  }
})

testMethod('knorm', () => [knorm({ budget: 40 })], { describe, it })
testMethod('keydiff', () => [keydiff({ budget: '30%' })], { describe, it })
testMethod('random', () => [random({ budget: 40 })], { describe, it })
