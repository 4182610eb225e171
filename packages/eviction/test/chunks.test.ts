import { chunkkv, keydiff, knorm, protect, rerotate, snapkv, streaming, trigger } from '@kvfold/eviction'
import { compose, type CacheShape } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { createKernels, type ArrayTensor } from '@kvfold/kernels'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { wholeChunks } from '../src/whole-chunks.ts'
import { cacheUnder, keptPositions, randomTensors, tensorOf } from './in-cache.ts'
import { excess, headOf, isAscending, readGolden } from './support.ts'

const shape: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 16, rope: 'external' }
const golden = readGolden('kvpress_more')
const inputs = [0, 1].map((layer) => readGolden(`kvpress_inputs_l${layer}`))
const prompt = (layer: number) => ({
  q: tensorOf(inputs[layer]['q_post']),
  k: tensorOf(inputs[layer]['k_post']),
  v: tensorOf(inputs[layer]['v']),
})
const theirs = (name: string, head: number): number[] => {
  const { data, shape: size } = golden[name]
  return [...data.subarray(head * size.at(-1)!, (head + 1) * size.at(-1)!)]
}

describe('NVIDIA/kvpress', () => {
  it.each([10, 20])('chunkkv over snapkv, chunks of %i: the same chunks, as far as they fit', async (size) => {
    for (const layer of [0, 1]) {
      const id = `chunkkv_snapkv_c${size}.l${layer}`
      // kvpress protects the window by the highest score of all, so that it falls into chunks like other rows.
      const scores = [0, 1].map((head) => Float32Array.from(theirs(`${id}/scores`, head)))
      const kept = [0, 1].map((head) => theirs(`${id}/kept_sorted`, head))
      const chosen = wholeChunks(size).selectLayer!(scores, [kept[0].length, kept[1].length], [headOf(96), headOf(96)])
      expect(chosen.map((rows) => [...rows])).toEqual(kept)
    }
  })

  it('keydiff under a trigger is block-wise keydiff', async () => {
    for (const layer of [0, 1]) {
      const cache = cacheUnder(shape, keydiff({ budget: 48 }), trigger({ chunk: 16 }))
      await cache.layer(0).attend(prompt(layer))
      const kept = keptPositions(cache, 0)
      for (const head of [0, 1]) expect(kept[head]).toEqual(theirs(`block_keydiff_b16.l${layer}/kept_sorted`, head))
      await cache.dispose()
    }
  })

  it('knorm with rerotate: the same rotated keys', async () => {
    for (const layer of [0, 1]) {
      const cache = cacheUnder({ ...shape, rope: { theta: 1e4 } }, knorm({ budget: 48 }), rerotate())
      await cache.layer(0).attend({ ...prompt(layer), k: tensorOf(inputs[layer]['k_pre']) })
      expect(cache.position).toBe(48)
      expect(cache.length).toBe(96)
      for (const head of [0, 1]) {
        // oxlint-disable-next-line no-explicit-any
        const keys: Float32Array = (cache as any).layers[0].heads[head].arrivals.keys.read()
        expect(
          excess(keys, golden[`keyrerotation_knorm.l${layer}/keys`].data.subarray(head * 48 * 16, (head + 1) * 48 * 16), 1e-5, 2e-5),
        ).toBeLessThanOrEqual(0)
      }
      await cache.dispose()
    }
  })
})

it('whole chunks only, protected rows first, never more than asked for', () => {
  const scores = fc.array(fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(Infinity, 0, NaN)), {
    minLength: 1,
    maxLength: 80,
  })
  fc.assert(
    fc.property(scores, fc.integer({ min: 1, max: 90 }), fc.integer({ min: 1, max: 12 }), (values, rows, size) => {
      const kept = [...wholeChunks(size).select(Float32Array.from(values), rows, headOf(values.length))]
      expect(isAscending(kept, values.length)).toBe(true)
      expect(kept.length).toBeLessThanOrEqual(rows)
      const open = values.flatMap((score, row) => (score === Infinity ? [] : [row]))
      const secure = values.length - open.length
      expect(kept.filter((row) => values[row] === Infinity)).toHaveLength(Math.min(rows, secure))
      const inside = new Set(kept)
      for (let start = 0; start < open.length && secure < rows; start += size) {
        const chunk = open.slice(start, start + size)
        const held = chunk.filter((row) => inside.has(row)).length
        expect(held === 0 || held === chunk.length).toBe(true)
      }
      if (values.length <= rows) expect(kept).toHaveLength(values.length)
    }),
  )
})

it('the peak of a prompt that is read in chunks is bounded by budget and chunk, whatever its length', async () => {
  const { heap } = createKernels()
  const before = heap.live
  const wide: CacheShape = { ...shape, rope: { theta: 1e4 }, headDim: 64 }
  const peaks: number[] = []
  const heldAtMost = 2 * (64 + 32 + 8) * 64 * 4 * 2
  for (const length of [400, 1600]) {
    const cache = cacheUnder(wide, keydiff({ budget: 64 }), trigger({ chunk: 32 }))
    const out = await cache.layer(0).attend(randomTensors(wide, length, 3))
    expect(out.shape).toEqual([4, length, 64])
    expect(cache.ledger().rows).toBe(2 * 64)
    // Rows in all plans: never more than budget + chunk.
    for (const plan of cache.trace!.plans) for (const positions of plan.positions) expect(positions.length).toBeLessThanOrEqual(96)
    peaks.push(cache.ledger().peakBytes)
    await cache.dispose()
  }
  // Working memory is a chunk's: queries, softmax state, scores. It does not grow with the prompt either.
  expect(peaks[1] / peaks[0]).toBeLessThan(1.05)
  expect(peaks[1]).toBeLessThan(3 * heldAtMost)
  expect(heap.live).toBe(before)
})

it('outputs of a prompt read in chunks: within the budget, those of a prompt read at once', async () => {
  const whole = cacheUnder(shape, streaming({ budget: 100 })),
    chunked = cacheUnder(shape, streaming({ budget: 100 }), trigger({ chunk: 13 }))
  const [a, b] = [await whole.layer(0).attend(prompt(0)), await chunked.layer(0).attend(prompt(0))] as ArrayTensor[]
  expect(excess(b.data, a.data, 1e-5, 1e-6)).toBeLessThanOrEqual(0)
  await whole.dispose()
  await chunked.dispose()
})

it('every: the cache grows for some steps and is cut then', async () => {
  const cache = cacheUnder(shape, streaming({ budget: 20 }), trigger({ every: 5 }))
  await cache.layer(0).attend(randomTensors(shape, 40, 1))
  const rows: number[] = []
  for (let step = 0; step < 12; step++) {
    await cache.layer(0).attend(randomTensors(shape, 1, 2 + step))
    rows.push(cache.ledger().rows / 2)
  }
  expect(rows).toEqual([21, 22, 23, 24, 20, 21, 22, 23, 24, 20, 21, 22])
  // A further part of the prompt counts anew.
  await cache.layer(0).attend(randomTensors(shape, 8, 90))
  expect(cache.ledger().rows / 2).toBe(20)
  await cache.layer(0).attend(randomTensors(shape, 1, 91))
  expect(cache.ledger().rows / 2).toBe(21)
  await cache.dispose()
})

it('protect: sinks and recent rows stay under any scores', async () => {
  const cache = cacheUnder(shape, knorm({ budget: 24 }), protect({ sinks: 3, recent: 6 }))
  await cache.layer(0).attend(prompt(0))
  for (const positions of keptPositions(cache, 0)) {
    expect(positions.slice(0, 3)).toEqual([0, 1, 2])
    expect(positions.slice(-6)).toEqual([90, 91, 92, 93, 94, 95])
    expect(positions).toHaveLength(24)
  }
  await cache.dispose()
})

it('streaming at contiguous positions: rotated at 0 to 4, and the next query at 5', async () => {
  const cache = cacheUnder({ ...shape, rope: { theta: 1e4 } }, streaming({ budget: 5, sinks: 2, contiguous: true }))
  await cache.layer(0).attend(randomTensors(shape, 10, 1))
  expect(keptPositions(cache, 0)).toEqual([
    [0, 1, 7, 8, 9],
    [0, 1, 7, 8, 9],
  ])
  // oxlint-disable-next-line no-explicit-any
  const head = (cache as any).layers[0].heads[0]
  expect([...head.columns.get('position')]).toEqual([0, 1, 2, 3, 4])
  expect(cache.position).toBe(5)
  await cache.dispose()
})

it('contiguous positions over thousands of steps: keys as if rotated once', async () => {
  const rotated: CacheShape = { ...shape, rope: { theta: 1e4 } }
  const cache = cacheUnder(rotated, streaming({ budget: 24, sinks: 2, contiguous: true }))
  const unrotated: Float32Array[] = []
  for (let step = 0; step < 3000; step++) {
    const tensors = randomTensors(shape, 1, step)
    await cache.layer(0).attend(tensors)
    unrotated.push(tensors.k.data.subarray(0, 16))
  }
  // oxlint-disable-next-line no-explicit-any
  const keys: Float32Array = (cache as any).layers[0].heads[0].arrivals.keys.read()
  const held = [0, 1, ...Array.from({ length: 22 }, (_, i) => 2978 + i)]
  const expected = held.flatMap((token, place) =>
    Array.from({ length: 16 }, (_, c) => {
      const pair = c % 8,
        angle = place * 1e4 ** (-pair / 8)
      const x = unrotated[token][pair],
        y = unrotated[token][pair + 8]
      return c < 8 ? x * Math.cos(angle) - y * Math.sin(angle) : y * Math.cos(angle) + x * Math.sin(angle)
    }),
  )
  expect(excess(keys, expected, 0, 1e-4)).toBeLessThanOrEqual(0)
  await cache.dispose()
})

it('a model that rotates itself cannot be rotated anew', () => {
  expect(() => cacheUnder(shape, knorm(), rerotate())).toThrow(/rotates itself/)
})

testMethod('trigger: chunks', () => [keydiff({ budget: 40 }), trigger({ chunk: 24 })], { describe, it })
testMethod('trigger: chunks, a window that looks', () => [snapkv({ budget: '25%', window: 8 }), trigger({ chunk: 30 })], { describe, it })
testMethod('trigger: every few steps', () => [streaming({ budget: 40 }), trigger({ every: 7 })], { describe, it })
testMethod('rerotate', () => [knorm({ budget: 40 }), rerotate(), trigger({ chunk: 32 })], { describe, it })
testMethod('streaming, contiguous', () => [streaming({ budget: 30, contiguous: true })], { describe, it })
testMethod('chunkkv', () => [chunkkv({ size: 6 }), snapkv({ budget: 40, window: 8 })], { describe, it })
testMethod('protect', () => [knorm({ budget: 40 }), protect({ recent: 8 })], { describe, it })

it('chunkkv brings scores and a budget along, unless others decide them', () => {
  expect(compose(chunkkv()).needs.windowAttention).toBe(32)
  expect(compose(chunkkv(), keydiff({ budget: 30 })).needs).toEqual({ keys: true })
})
