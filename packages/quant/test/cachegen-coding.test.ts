import { createKernels, fromHalf, referenceKernels, toHalf } from '@kvfold/kernels'
import {
  affine,
  type CacheShape,
  type Codec,
  compose,
  createRandom,
  inspectCache,
  KvCache,
  type PageRun,
  type Preset,
} from '@kvfold/kv-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { draw, feed, FINGERPRINT, held, mutate, same, saved, typed, watchedHeap } from '../../kv-core/test/cache-files.ts'
import { largest } from '../../kv-core/test/toy-methods.ts'
import { pageRun } from '../../kv-core/src/page-coding.ts'
import { cachegen, cachegenCoding, flexgen, float16, gear, int4, int8, kivi, mikv, turboquant, zipcache } from '../src/index.ts'
import { deltaCodec } from '../src/cachegen-delta.ts'

const kernels = createKernels()

/** Random bytes of pages, of which each has some codes far more often than others. */
function bytesOf({ rows }: PageRun, codec: Codec, headDim: number, skew: number, seed: number): Uint8Array {
  const random = createRandom(seed)
  const length = rows.reduce((sum, count) => sum + codec.bytes(count, headDim), 0)
  const nibble = (): number => Math.floor(16 * random() ** skew)
  return Uint8Array.from({ length }, () => nibble() | (nibble() << 4))
}

function throughCoding(bytes: Uint8Array, pages: PageRun): { coded: Uint8Array | undefined; back: Uint8Array } {
  const coded = cachegenCoding.encode(bytes, pages)
  const back = new Uint8Array(bytes.length).fill(255)
  if (coded) cachegenCoding.decode(coded, pages, back)
  return { coded, back: coded ? back : bytes }
}

const codecs = fc.oneof(
  fc
    .record({ bits: fc.constantFrom(2, 4, 8), axis: fc.constantFrom('channel', 'token'), group: fc.constantFrom(16, 32) })
    .map((options) => affine(options as Parameters<typeof affine>[0])),
  fc.constant(deltaCodec(1)),
  fc.constant({ ...turboquant().encode!.classes[0].keys }),
)

describe('CacheGen’s coding of pages', () => {
  it('loses nothing, whatever the codec, the pages and what they hold, and is never larger', () => {
    const setting = fc.record({
      codec: codecs,
      headDim: fc.constantFrom(32, 64, 96),
      rows: fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 12 }),
      skew: fc.double({ min: 0.5, max: 20, noNaN: true }),
      seed: fc.nat(),
    })
    let smaller = 0
    fc.assert(
      fc.property(setting, ({ codec, headDim, rows, skew, seed }) => {
        const pages = pageRun(codec, headDim, rows)
        const bytes = bytesOf(pages, codec, headDim, skew, seed)
        const { coded, back } = throughCoding(bytes, pages)
        expect(same(back, bytes)).toBe(true)
        if (coded) {
          smaller++
          expect(coded.length).toBeLessThan(bytes.length)
        }
      }),
      { numRuns: 150 },
    )
    expect(smaller).toBeGreaterThan(30)
  })

  it('takes little more than the entropy of each channel’s codes, and its tables', () => {
    const random = createRandom(3)
    const headDim = 32,
      count = 4096
    const codec = affine({ bits: 8, axis: 'token', group: 32 })
    const pages = pageRun(
      codec,
      headDim,
      Array.from({ length: 64 }, () => 64),
    )
    const bytes = new Uint8Array(64 * codec.bytes(64, headDim))
    const counts = Array.from({ length: headDim }, () => new Map<number, number>())
    for (let row = 0; row < count; row++) {
      for (let channel = 0; channel < headDim; channel++) {
        // Channels differ in where they lie and in how far they reach.
        const code = Math.floor(4 * channel + (channel + 1) * random() * random())
        bytes[Math.floor(row / 64) * codec.bytes(64, headDim) + (row % 64) * headDim + channel] = code
        counts[channel].set(code, (counts[channel].get(code) ?? 0) + 1)
      }
    }
    let bits = 0,
      symbols = 0
    for (const own of counts) {
      symbols += own.size
      for (const times of own.values()) bits += times * Math.log2(count / times)
    }
    const { coded, back } = throughCoding(bytes, pages)
    expect(same(back, bytes)).toBe(true)
    // A table is the first and the last symbol, and a count of one or two bytes for each.
    const tables = 5 + headDim * 3 + symbols * 2
    expect(coded!.length).toBeGreaterThan(bits / 8)
    expect(coded!.length).toBeLessThan((bits / 8) * 1.02 + tables)
  })

  it('leaves out minima that follow from scales, if all of them do', () => {
    const headDim = 64
    for (const preset of [int8(), int4(), cachegen({ level: 3 })]) {
      const codec = preset.encode!.classes[0].keys
      const random = createRandom(4)
      const rows = Float32Array.from({ length: 64 * headDim }, () => random() - 0.5)
      const bytes = new Uint8Array(codec.bytes(64, headDim))
      codec.encode!(rows, 64, headDim, bytes, bytes)
      const pages = pageRun(codec, headDim, [64])
      const { coded, back } = throughCoding(bytes, pages)
      expect(same(back, bytes)).toBe(true)
      const halves = new Uint16Array(bytes.buffer, bytes.byteLength - 2, 1)
      halves[0] = toHalf(fromHalf(halves[0]) * 1.01)
      const other = throughCoding(bytes, pages)
      expect(same(other.back, bytes)).toBe(true)
      expect(other.coded?.length ?? bytes.length).toBeGreaterThan(coded!.length + 50)
    }
  })

  it('makes nothing of few rows', () => {
    const codec = affine({ bits: 4, axis: 'token', group: 16 })
    const pages = pageRun(codec, 16, [1])
    expect(cachegenCoding.encode(bytesOf(pages, codec, 16, 1, 5), pages)).toBeUndefined()
  })

  it('refuses bytes that it cannot have made, whichever', () => {
    const codec = affine({ bits: 4, axis: 'token', group: 32 })
    const pages = pageRun(codec, 32, [64, 64, 17])
    const bytes = bytesOf(pages, codec, 32, 3, 6)
    const coded = cachegenCoding.encode(bytes, pages)!
    const into = new Uint8Array(bytes.length)
    const refuses = (wrong: Uint8Array, why: RegExp): void => expect(() => cachegenCoding.decode(wrong, pages, into)).toThrow(why)
    refuses(coded.subarray(0, 3), /3 of them/)
    refuses(coded.subarray(0, -1), /its symbols end elsewhere/)
    refuses(Uint8Array.of(...coded, 0), /its symbols end elsewhere/)
    refuses(coded.with(3, 255), /tables of \d+ bytes in/)
    refuses(coded.with(0, coded[0] - 1), /tables end early|symbols end elsewhere/)
    refuses(coded.with(0, coded[0] + 1), /tables go on/)
    refuses(coded.with(6, 3), /a table that it does not have/)
    const random = createRandom(7)
    let refused = 0
    for (let run = 0; run < 3000; run++) {
      const damaged = coded.slice()
      for (let i = Math.floor(random() * 4); i >= 0; i--)
        damaged[Math.floor(random() * random() * coded.length)] = Math.floor(random() * 256)
      try {
        cachegenCoding.decode(damaged, pages, into)
      } catch (error) {
        expect(error).toMatchObject({ code: 'CACHE_FORMAT' })
        refused++
      }
    }
    expect(refused).toBeGreaterThan(1000)
  })
})

const shape: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 32, rope: { theta: 1e4 } }
const load = (file: Uint8Array, presets: Preset[]): Promise<KvCache> =>
  KvCache.load(file, { shape, policy: compose(...presets), kernels, fingerprint: FINGERPRINT, codings: [cachegenCoding] })

describe('a file in CacheGen’s coding', () => {
  const policies: [string, () => Preset[]][] = [
    ['kivi', () => [kivi({ bits: 4, residual: 32, group: 32 })]],
    ['kivi, with rows that left', () => [largest({ budget: 200 }), kivi({ bits: 2, residual: 32, group: 32 })]],
    ['flexgen', () => [flexgen({ group: 32 })]],
    ['float16', () => [float16()]],
    ['int8', () => [int8()]],
    ['int4', () => [int4()]],
    ['cachegen', () => [cachegen()]],
    ['cachegen with deltas', () => [cachegen({ delta: true })]],
    ['cachegen with deltas, of which some left', () => [largest({ budget: 200 }), cachegen({ level: 3, delta: true })]],
    ['mikv', () => [largest({ budget: 300 }), mikv()]],
    ['zipcache', () => [zipcache()]],
    ['gear', () => [gear({ group: 32 })]],
    ['turboquant', () => [turboquant()]],
  ]
  it.each(policies)('comes back bit by bit and goes on so: %s', async (name, presets) => {
    const random = createRandom(8)
    const cache = new KvCache(shape, { policy: compose(...presets()), kernels })
    for (const n of [333, 1, 1, 60, 1]) await feed(cache, draw(shape, n, random))
    const plain = await saved(cache),
      file = await saved(cache, { coding: cachegenCoding })
    // Those whose fields nobody knows are bytes, and mostly random ones.
    if (!/gear|turbo/.test(name)) expect(file.length).toBeLessThan(plain.length * 0.97)
    const loaded = await load(file, presets())
    expect(held(loaded)).toEqual(held(cache))
    expect(same(await saved(loaded), plain)).toBe(true)
    expect(same(await saved(loaded, { coding: cachegenCoding }), file)).toBe(true)
    const next = draw(shape, 1, random)
    const [a, b] = [await feed(cache, next), await feed(loaded, next)]
    expect(a.every((data, i) => same(data, b[i]))).toBe(true)
    await cache.dispose()
    await loaded.dispose()
  })

  it('never crashes, hangs or takes more memory than its rows need, with checksums wrong or right', async () => {
    // 100,000 by hand: KVFOLD_FUZZ=100000.
    const count = Number(process.env['KVFOLD_FUZZ'] ?? 1500)
    const files = []
    for (const presets of [[cachegen({ level: 1 })], [kivi({ bits: 4, residual: 32, group: 32 })], [cachegen({ delta: true })]]) {
      const policy = compose(...presets)
      const cache = new KvCache(shape, { policy, kernels })
      for (const n of [100, 1]) await feed(cache, draw(shape, n, createRandom(9)))
      const file = await saved(cache, { coding: cachegenCoding })
      expect((await inspectCache(file)).coding?.name).toBe('cachegen')
      files.push({ file, policy })
      await cache.dispose()
    }
    const heap = watchedHeap()
    const own = referenceKernels(heap)
    const random = createRandom(Number(process.env['KVFOLD_FUZZ_SEED'] ?? 10))
    let accepted = 0
    for (let run = 0; run < count; run++) {
      const { file, policy } = files[run % files.length]
      const mutated = mutate(file, random)
      heap.most = 0
      const options = { shape, policy, kernels: own, fingerprint: FINGERPRINT, codings: [cachegenCoding] }
      const cache = await KvCache.load(mutated, options).catch(typed)
      // Four bytes of position for each row, of which the last page of a list may have room for as many again.
      const rows = mutated.length / 4 + shape.layers * shape.kvHeads * 64
      if (heap.most > 2 * rows * 2 * 4 * shape.headDim) throw new Error(`run ${run}: ${heap.most} bytes for a file of ${mutated.length}`)
      if (cache) {
        accepted++
        await feed(cache, draw(shape, 1, random)).catch(typed)
        await saved(cache, { coding: cachegenCoding }).catch(typed)
        await cache.dispose()
      }
      if (heap.live !== 0) throw new Error(`run ${run}: ${heap.live} bytes were left`)
    }
    expect(accepted).toBeGreaterThan(0)
    expect(accepted).toBeLessThan(count)
  }, 3_600_000)
})
