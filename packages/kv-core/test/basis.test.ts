import { createKernels, type ArrayTensor } from '@kvfold/kernels'
import { compose, createRandom, type Encoder, KvCache, PolicyConflictError, type Preset, type Random } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { describe, expect, it } from 'vitest'
import { largest, opaque, away } from './toy-methods.ts'

const SHAPE = { layers: 3, queryHeads: 4, kvHeads: 2, headDim: 32, rope: { theta: 10_000 } }

/**
 * Rows as the sum and the difference of the two heads, less what the layer below holds: lossless, and only if layers come in order, each row
 * is told once, and keys come unrotated. `seen`: the keys of head 0 that came.
 */
function sums(seen: number[] = []): Preset {
  const preset = opaque()
  const encode: Encoder = {
    ...preset.encode!,
    flush: { keys: { keep: 0, step: 16 }, values: { keep: 0, step: 16 } },
    basis: ({ kernels: { heap }, shape: { headDim }, malloc, free }) => {
      let below: { address: number; bytes: number; layer: number } | undefined
      const each = (
        { keys, values, count }: { keys: readonly number[]; values: readonly number[]; count: number },
        change: (a: number, b: number, i: number) => [number, number],
      ): void => {
        for (const [x, y] of [keys, values])
          for (let i = 0; i < count * headDim; i++) {
            const [a, b] = [(x >> 2) + i, (y >> 2) + i]
            ;[heap.f32[a], heap.f32[b]] = change(heap.f32[a], heap.f32[b], i)
          }
      }
      return {
        store: (rows) => {
          if (rows.layer === 0) seen.push(...heap.f32.slice(rows.keys[0] >> 2, (rows.keys[0] >> 2) + rows.count * headDim))
          each(rows, (a, b) => [a + b + rows.layer, a - b])
        },
        stored: (rows) => {
          // What is held from layer to layer must have been given back before the next prompt or step.
          if (rows.layer === 0) below = { bytes: 4000, address: malloc(4000), layer: 0 }
          else if (below) expect(rows.layer).toBe(++below.layer)
        },
        restore: (rows) => each(rows, (a, b) => [(a - rows.layer + b) / 2, (a - rows.layer - b) / 2]),
        end: () => {
          if (below) free(below.address, below.bytes)
          below = undefined
        },
      }
    },
  }
  return { ...preset, encode }
}

function draw(n: number, random: Random): Record<'q' | 'k' | 'v', ArrayTensor> {
  const tensor = (heads: number): ArrayTensor => ({
    shape: [heads, n, SHAPE.headDim],
    dtype: 'float32',
    data: Float32Array.from({ length: heads * n * SHAPE.headDim }, () => random() * 2 - 1),
  })
  return { q: tensor(SHAPE.queryHeads), k: tensor(SHAPE.kvHeads), v: tensor(SHAPE.kvHeads) }
}

describe('rows packed in a basis', () => {
  it('come back as they were, in decode and under a further prompt, in memory and on a tier', async () => {
    const random = createRandom(Date.now())
    const kernels = createKernels()
    const live = kernels.heap.live
    for (const extra of [[], [away({ resident: 30 })], [away({ resident: 8, later: true })]] as Preset[][]) {
      const seen: number[] = []
      const plain = new KvCache(SHAPE, { kernels }),
        packed = new KvCache(SHAPE, { policy: compose(sums(seen), ...extra), kernels })
      const keys: number[] = []
      for (const n of [70, 1, 1, 40, ...Array<number>(20).fill(1)]) {
        for (let layer = 0; layer < SHAPE.layers; layer++) {
          const inputs = draw(n, random)
          if (layer === 0) keys.push(...inputs.k.data.subarray(0, n * SHAPE.headDim))
          const a = (await plain.layer(layer).attend(inputs)) as ArrayTensor,
            b = (await packed.layer(layer).attend(inputs)) as ArrayTensor
          a.data.forEach((x, i) => expect(Math.abs(x - b.data[i])).toBeLessThan(1e-5))
        }
      }
      expect(seen).toHaveLength(128 * SHAPE.headDim)
      seen.forEach((x, i) => expect(Math.abs(x - keys[i])).toBeLessThan(2e-6))
      await plain.dispose()
      await packed.dispose()
    }
    expect(kernels.heap.live).toBe(live)
  })

  it('refuses methods under which rows leave, and models that rotate', () => {
    expect(() => compose(sums(), largest())).toThrow(PolicyConflictError)
    expect(() => new KvCache({ ...SHAPE, rope: 'external' }, { policy: compose(sums()), kernels: createKernels() })).toThrow(/rotate/)
  })
})

testMethod('a basis', () => [sums()], { describe, it })
testMethod('a basis on a tier', () => [sums(), away()], { describe, it })
