import {
  compose,
  createRandom,
  KvCache,
  UnsupportedPolicyError,
  type CacheShape,
  type Codec,
  type Preset,
  type RopeSpec,
} from '@kvfold/kv-core'
import { createKernels, type ArrayTensor } from '@kvfold/kernels'
import { describe, expect, it } from 'vitest'
import { largest, opaque } from './toy-methods.ts'

const SCALED: RopeSpec = { theta: 10_000, scaling: { type: 'yarn', factor: 4, originalMaxPositions: 64 } }

const shapeOf = (rope: RopeSpec): CacheShape => ({ layers: 1, queryHeads: 4, kvHeads: 2, headDim: 32, rope })

function inputs(shape: CacheShape, n: number, random: () => number): Record<'q' | 'k' | 'v', ArrayTensor> {
  const tensor = (heads: number): ArrayTensor => ({
    shape: [heads, n, shape.headDim],
    dtype: 'float32',
    data: Float32Array.from({ length: heads * n * shape.headDim }, () => random() * 2 - 1),
  })
  return { q: tensor(shape.queryHeads), k: tensor(shape.kvHeads), v: tensor(shape.kvHeads) }
}

/** The preset, with what its keys' codec was given to pack. */
function watched(preset: Preset): { preset: Preset; packed: number[] } {
  const encode = preset.encode!
  const [{ keys, ...rest }] = encode.classes
  const packed: number[] = []
  const watching: Codec = {
    ...keys,
    encode: (rows, ...others) => {
      packed.push(...rows)
      keys.encode!(rows, ...others)
    },
  }
  return { preset: { ...preset, encode: { ...encode, classes: [{ ...rest, keys: watching }] } }, packed }
}

describe.each([
  ['plain', { theta: 10_000 }],
  ['scaled', SCALED],
] as [string, RopeSpec][])('a codec of unrotated keys, %s rotation', (_, rope) => {
  const shape = shapeOf(rope)

  it('is given the keys that the model gave', async () => {
    const { preset, packed } = watched(opaque({ unrotated: true }))
    const one = { ...shape, queryHeads: 2, kvHeads: 1 }
    const cache = new KvCache(one, { policy: compose(preset), kernels: createKernels() })
    const random = createRandom(Date.now())
    const prompt = inputs(one, 150, random),
      step = inputs(one, 1, random)
    await cache.layer(0).attend(prompt)
    await cache.layer(0).attend(step)
    const { headDim } = one
    const { data } = prompt.k
    // Attention scales a stretched rotation; turning it back does not undo that.
    const factor = packed[0] / data[0]
    expect(packed).toHaveLength(147 * headDim)
    packed.forEach((x, i) => expect(Math.abs(x - data[i] * factor)).toBeLessThan(2e-6))
    if (_ === 'plain') expect(Math.abs(factor - 1)).toBeLessThan(1e-4)
    await cache.dispose()
  })

  it('changes nothing of what comes out, whatever rows leave', async () => {
    const kernels = createKernels()
    const random = createRandom(Date.now())
    for (const extra of [[], [largest({ budget: 40 })]] as Preset[][]) {
      const [plain, unrotated] = [false, true].map(
        (own) => new KvCache(shape, { policy: compose(...extra, opaque({ unrotated: own })), kernels }),
      )
      for (const n of [100, 1, 1, 30, 1]) {
        const given = inputs(shape, n, random)
        const a = (await plain.layer(0).attend(given)) as ArrayTensor,
          b = (await unrotated.layer(0).attend(given)) as ArrayTensor
        a.data.forEach((x, i) => expect(Math.abs(x - b.data[i])).toBeLessThan(1e-5))
      }
      await plain.dispose()
      await unrotated.dispose()
    }
  })
})

it('is refused where keys come rotated, or turn otherwise as the text grows', () => {
  const policy = compose(opaque({ unrotated: true }))
  for (const rope of ['external', { theta: 10_000, scaling: { type: 'dynamic', factor: 2, maxPositions: 64 } }] as RopeSpec[])
    expect(() => new KvCache(shapeOf(rope), { policy, kernels: createKernels() })).toThrow(UnsupportedPolicyError)
})
