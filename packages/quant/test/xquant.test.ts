import { createKernels, type ArrayTensor } from '@kvfold/kernels'
import {
  type CacheShape,
  compose,
  createRandom,
  type LayerRows,
  KvCache,
  type ModelParts,
  type Preset,
  type Projections,
  type Random,
  UnsupportedPolicyError,
} from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { describe, expect, it } from 'vitest'
import { roundGroup } from '../src/round-group.ts'
import { xquant, xquantCl } from '../src/index.ts'
import { rightInverse, thinSvd } from '../src/thin-svd.ts'
import { XquantBasis } from '../src/xquant-basis.ts'
import { expectClose } from './support.ts'

const normal = (random: Random): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

/** A model of random weights; a layer's input has as many numbers as its queries. */
function modelOf({ layers, queryHeads, kvHeads, headDim }: CacheShape, bias = false, seed = 1): ModelParts & { weights: Projections[] } {
  const random = createRandom(seed)
  const inputs = queryHeads * headDim,
    outputs = kvHeads * headDim
  const draw = (n: number, scale: number): Float32Array => Float32Array.from({ length: n }, () => normal(random) * scale)
  const weights = Array.from({ length: layers }, () => ({
    keys: draw(inputs * outputs, 1 / Math.sqrt(inputs)),
    values: draw(inputs * outputs, 1 / Math.sqrt(inputs)),
    ...(bias && { keyBias: draw(outputs, 1), valueBias: draw(outputs, 1) }),
  }))
  return { weights, projections: (layer) => weights[layer] }
}

/** What a layer makes of inputs [n][inputs]: [kvHeads][n][headDim]. */
function project(
  x: Float32Array,
  n: number,
  weights: Float32Array,
  bias: Float32Array | undefined,
  { kvHeads, headDim }: CacheShape,
): Float32Array {
  const outputs = kvHeads * headDim
  const inputs = weights.length / outputs
  const out = new Float32Array(n * outputs)
  for (let t = 0; t < n; t++)
    for (let c = 0; c < outputs; c++) {
      let sum = bias?.[c] ?? 0
      for (let i = 0; i < inputs; i++) sum += x[t * inputs + i] * weights[i * outputs + c]
      out[(Math.floor(c / headDim) * n + t) * headDim + (c % headDim)] = sum
    }
  return out
}

const GROUPED: CacheShape = { layers: 5, queryHeads: 6, kvHeads: 2, headDim: 32, rope: { theta: 10_000 } }
const HALF: CacheShape = { ...GROUPED, queryHeads: 4 }
const EACH: CacheShape = { ...GROUPED, queryHeads: 2 }

describe('thin decomposition', () => {
  it('gives the worked example', () => {
    const w = Float32Array.of(1, 0, 0, 2, 1, 1, 0, -1)
    const { left, right, toLeft, singular } = thinSvd(w, 4, 2)
    expectClose(singular, [2.49721, 1.32813], 1e-5)
    const times = (a: Float32Array, b: Float32Array, inner: number, columns: number): number[] =>
      Array.from({ length: (a.length / inner) * columns }, (_, i) =>
        Array.from({ length: inner }, (__, k) => a[Math.floor(i / columns) * inner + k] * b[k * columns + (i % columns)]).reduce(
          (x, y) => x + y,
        ),
      )
    expectClose(times(left, right, 2, 2), w, 0, 1e-6)
    const x = Float32Array.of(1, 2, -1, 0.5, 0, 1, 3, -2, 2, -1, 1, 1)
    const product = Float32Array.from(times(x, w, 4, 2))
    expect([...product]).toEqual([0, 2.5, 3, 7, 3, -2])
    const packed = Float32Array.from(times(x, left, 4, 2))
    expectClose(packed, times(product, toLeft, 2, 2), 0, 1e-5)
    expectClose(times(packed, right, 2, 2), product, 0, 1e-5)
  })

  it('inverts a wide matrix from the right', () => {
    const random = createRandom(Date.now())
    const w = Float32Array.from({ length: 3 * 5 }, () => normal(random))
    const inverse = rightInverse(w, 3, 5)
    for (let i = 0; i < 3; i++)
      for (let j = 0; j < 3; j++)
        expect(Array.from({ length: 5 }, (_, k) => w[i * 5 + k] * inverse[k * 3 + j]).reduce((a, b) => a + b)).toBeCloseTo(
          i === j ? 1 : 0,
          3,
        )
  })
})

/** A basis over rows in a heap; `keys` and `values` [kvHeads][n][headDim]. */
function onHeap(method: string, shape: CacheShape, model: ModelParts, deltas: number) {
  const kernels = createKernels()
  const { heap } = kernels
  const malloc = (bytes: number): number => heap.malloc(bytes)
  const basis = new XquantBasis(method, { shape, model, kernels, malloc, free: (address) => heap.free(address) }, deltas)
  return {
    basis,
    put(layer: number, first: number, keys: Float32Array, values: Float32Array): LayerRows & { read(): [Float32Array, Float32Array] } {
      const count = keys.length / shape.kvHeads / shape.headDim
      const at = [keys, values].map((x) => {
        const address = heap.malloc(x.byteLength)
        heap.f32.set(x, address >> 2)
        return address
      })
      const slabs = at.map((address) => Array.from({ length: shape.kvHeads }, (_, h) => address + h * count * shape.headDim * 4))
      const read = (i: number): Float32Array => heap.f32.slice(at[i] >> 2, (at[i] >> 2) + keys.length)
      return { layer, first, count, keys: slabs[0], values: slabs[1], read: () => [read(0), read(1)] }
    },
  }
}

describe('the basis', () => {
  it.each([
    ['grouped queries', GROUPED, false],
    ['half as many KV heads', HALF, false],
    ['a KV head for each query head', EACH, false],
    ['biases', GROUPED, true],
  ] as const)('gives keys and values back when nothing is rounded: %s', (_, shape, bias) => {
    const random = createRandom(Date.now())
    const model = modelOf(shape, bias)
    const inputs = shape.queryHeads * shape.headDim
    for (const [method, deltas] of [
      ['xquant', Infinity],
      ['xquant-cl', 3],
    ] as const) {
      const { basis, put } = onHeap(method, shape, model, deltas)
      // Two prompts: 700 rows, more than are multiplied at a time, then 64 more.
      const before: [Float32Array, Float32Array][] = []
      for (const [first, n] of [
        [0, 700],
        [700, 64],
      ]) {
        for (let layer = 0; layer < shape.layers; layer++) {
          if (first > 0) {
            const [packedKeys, packedValues] = before[layer]
            const all = put(layer, 0, packedKeys, packedValues)
            for (let chunk = 0; chunk < 2; chunk++) {
              const again = put(layer, 0, packedKeys, packedValues)
              basis.restore(again)
              if (chunk === 0) basis.restore(all)
              expect(again.read()).toEqual(all.read())
            }
          }
          const x = Float32Array.from({ length: n * inputs }, () => normal(random))
          const { keys, values, keyBias, valueBias } = model.weights[layer]
          const k = project(x, n, keys, keyBias, shape),
            v = project(x, n, values, valueBias, shape)
          const rows = put(layer, first, k, v)
          basis.store(rows)
          const packed = rows.read()
          if (first === 0) before.push(packed)
          basis.stored(put(layer, first, ...packed))
          if (first > 0) continue
          basis.restore(rows)
          const [backK, backV] = rows.read()
          expectClose(backK, k, 0, 2e-3)
          expectClose(backV, v, 0, 2e-3)
        }
        basis.end()
      }
    }
  })

  it('closes the loop as in the worked example: errors do not add up', () => {
    const shape = { layers: 3, queryHeads: 1, kvHeads: 1, headDim: 4, rope: { theta: 10_000 } }
    const identity = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0))
    const { basis, put } = onHeap('xquant-cl', shape, { projections: () => ({ keys: identity, values: identity }) }, 1)
    const inputs = [
      [1, -2, 4, 0.5],
      [1.1, -2.2, 4.1, 0.8],
      [0.9, -2.1, 4.1, 0.9],
    ]
    const differences = [[], [0.1333, -0.2, 0.1333, 0.3], [-0.2333, 0.1, -0.0111, 0.1]]
    const read = [inputs[0], [1.1333, -2.2, 4.1333, 0.8], [0.9, -2.1, 4.1222, 0.9]]
    for (const [layer, x] of inputs.entries()) {
      const rows = put(layer, 0, Float32Array.from(x), Float32Array.from(x))
      basis.store(rows)
      const [difference] = rows.read()
      const { low, step, codes } = roundGroup(difference, 3)
      const packed = layer === 0 ? difference : Float32Array.from(codes, (code) => code * step + low)
      if (layer > 0) expectClose(packed, differences[layer], 0, 1e-4)
      basis.stored(put(layer, 0, packed, new Float32Array(4)))
      const back = put(layer, 0, packed, new Float32Array(4))
      basis.restore(back)
      for (const part of back.read()) expectClose(part, read[layer], 0, 1e-4)
    }
    basis.end()
  })
})

/** Mean difference of a cache's last step to a full cache's, layer by layer, where each layer's input is the one before and a little more. */
async function differences(shape: CacheShape, preset: Preset): Promise<number[]> {
  const random = createRandom(3)
  const model = modelOf(shape)
  const kernels = createKernels()
  const caches = [compose(preset), compose()].map((policy) => new KvCache(shape, { policy, kernels, model }))
  const out: number[] = []
  const inputs = shape.queryHeads * shape.headDim
  for (const n of [256, 1]) {
    const x = Float32Array.from({ length: n * inputs }, (_, i) => normal(random) * (i % inputs < 3 ? 8 : 1))
    for (let layer = 0; layer < shape.layers; layer++) {
      for (let i = 0; i < x.length; i++) x[i] += 0.1 * normal(random)
      const { keys, values } = model.weights[layer]
      const tensor = (heads: number, data: Float32Array): ArrayTensor => ({ shape: [heads, n, shape.headDim], dtype: 'float32', data })
      const input = {
        q: tensor(
          shape.queryHeads,
          Float32Array.from({ length: n * inputs }, () => normal(random)),
        ),
        k: tensor(shape.kvHeads, project(x, n, keys, undefined, shape)),
        v: tensor(shape.kvHeads, project(x, n, values, undefined, shape)),
      }
      const [a, b] = await Promise.all(caches.map(async (cache) => ((await cache.layer(layer).attend(input)) as ArrayTensor).data))
      if (n === 1) out.push(a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0) / a.length)
    }
  }
  for (const cache of caches) await cache.dispose()
  return out
}

describe('cross-layer differences', () => {
  it('lose far less than inputs at 2 bits, and no more in deep layers than in early ones', async () => {
    for (const shape of [
      { ...EACH, layers: 8 },
      { ...GROUPED, layers: 8 },
    ]) {
      const whole = await differences(shape, xquant({ bits: 2 })),
        deltas = await differences(shape, xquantCl({ bits: 2 }))
      const mean = (x: number[]): number => x.reduce((a, b) => a + b) / x.length
      if (shape.queryHeads === shape.kvHeads) expect(mean(deltas.slice(3)) * 3).toBeLessThan(mean(whole.slice(3)))
      expect(mean(deltas.slice(6))).toBeLessThan(2 * mean(deltas.slice(3, 5)))
    }
  })
})

describe('bytes', () => {
  it.each([
    ['grouped queries: as many as keys and values', GROUPED, 2],
    ['a KV head for each query head: half', EACH, 1],
  ] as const)('%s', async (_, shape, tensors) => {
    const random = createRandom(Date.now())
    const tensor = (heads: number): ArrayTensor => ({
      shape: [heads, 128, shape.headDim],
      dtype: 'float32',
      data: Float32Array.from({ length: heads * 128 * shape.headDim }, () => normal(random)),
    })
    const cache = new KvCache(shape, { policy: compose(xquant({ bits: 4 })), kernels: createKernels(), model: modelOf(shape) })
    for (let layer = 0; layer < shape.layers; layer++)
      await cache.layer(layer).attend({ q: tensor(shape.queryHeads), k: tensor(shape.kvHeads), v: tensor(shape.kvHeads) })
    const { payload, scales } = cache.ledger()
    const numbers = shape.layers * shape.kvHeads * shape.headDim * 128
    expect(payload).toBe((numbers * tensors) / 2)
    // A scale and a minimum, 2 bytes each: for 64 tokens of a channel, or a head's 32 channels of a token.
    const perChannel = numbers / 16,
      perToken = numbers / 8
    expect(scales).toBe(tensors === 2 ? perChannel + perToken : perToken)
    await cache.dispose()
  })
})

describe('refuses', () => {
  const kernels = createKernels()
  it.each([
    ['a cache that does not know its model', {}, /give the cache its `model`/],
    ['keys that are changed after their projection', { projections: () => undefined }, /changes them/],
  ])('%s', (_, model, message) => {
    for (const preset of [xquant(), xquantCl()]) {
      const make = (): KvCache => new KvCache(GROUPED, { policy: compose(preset), kernels, model })
      expect(make).toThrow(UnsupportedPolicyError)
      expect(make).toThrow(message)
    }
  })
})

for (const [name, shape] of Object.entries({ 'grouped queries': GROUPED, 'half as many KV heads': HALF, 'a KV head each': EACH })) {
  testMethod(`xquant, ${name}`, () => [xquant()], { describe, it }, { shape, model: modelOf(shape) })
  testMethod(`xquant-cl, ${name}`, () => [xquantCl({ bits: 8 })], { describe, it }, { shape, model: modelOf(shape) })
}
