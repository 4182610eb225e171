import { createKernels, fromHalf, referenceKernels, toHalf } from '@kvfold/kernels'
import {
  type CacheShape,
  type Codec,
  compose,
  createRandom,
  type Encoder,
  type HeadPlace,
  KvCache,
  PolicySyntaxError,
} from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { draw, feed, saved } from '../../kv-core/test/cache-files.ts'
import { binsCodec } from '../src/cachegen-codec.ts'
import { deltaCodec } from '../src/cachegen-delta.ts'
import { cachegen, cachegenCoding, kivi } from '../src/index.ts'
import { besideFull, expectClose, packed, throughCodec } from './support.ts'

type Params = Parameters<typeof cachegen>[0]

function codecsOf(params: Params, place: Partial<HeadPlace> = {}): { keys: Codec; values: Codec } {
  const { classesOf } = cachegen(params).encode as Encoder
  return classesOf!({ layer: 0, head: 0, layers: 32, kvHeads: 1, headDim: 64, ...place }, {})[0]
}

/** Codes, scales and minima of one page. */
function pack(codec: Codec, rows: Float32Array, headDim: number): { codes: number[]; halves: number[] } {
  const { layout } = codec
  const bits = layout !== 'opaque' && layout.kind === 'affine' ? layout.bits : 8
  const count = rows.length / headDim
  const bytes = new Uint8Array(codec.bytes(count, headDim)).fill(255)
  codec.encode!(rows, count, headDim, bytes, bytes)
  const width = (headDim * bits) / 8
  const codes = Array.from(rows, (_, i) => {
    const channel = i % headDim
    return (bytes[Math.floor(i / headDim) * width + (channel % width)] >> (Math.floor(channel / width) * bits)) & ((1 << bits) - 1)
  })
  return { codes, halves: Array.from(new Uint16Array(bytes.buffer, count * width), fromHalf) }
}

describe('cachegen, by hand', () => {
  // The card's four numbers, four times.
  const x = Float32Array.from({ length: 16 }, (_, i) => [0.5, -0.9, 2, 0.1][i % 4])

  it.each([
    [32, [19, 8, 30, 16], [0.5333, -0.9333, 2, 0.1333]],
    [16, [9, 4, 14, 7], [0.5714, -0.8571, 2, 0]],
  ])('packs the example of four numbers in %i bins', (bins, codes, back) => {
    const codec = binsCodec(bins, 16)
    expect(pack(codec, x, 16).codes).toEqual(Array.from(x, (_, i) => codes[i % 4]))
    for (const kernels of [referenceKernels(), createKernels()])
      expectClose(
        packed(kernels, codec, x, 16),
        Array.from(x, (_, i) => back[i % 4]),
        0,
        2e-3,
      )
  })

  it('has 31, 15 and 11 symbols, and the middle one for rows of zeros', () => {
    for (const [bins, symbols, bits] of [
      [32, 31, 8],
      [16, 15, 4],
      [12, 11, 4],
    ]) {
      const codec = binsCodec(bins, 32)
      expect(codec.layout).toEqual({ kind: 'affine', bits, axis: 'token', group: 32 })
      const ramp = Float32Array.from({ length: 64 }, (_, i) => (i < 32 ? (i - 15.5) / 15.5 : 0))
      const { codes, halves } = pack(codec, ramp, 32)
      expect([Math.min(...codes.slice(0, 32)), Math.max(...codes.slice(0, 32))]).toEqual([0, symbols - 1])
      expect(codes.slice(32)).toEqual(Array.from({ length: 32 }, () => (symbols - 1) / 2))
      expect(halves.map(Math.abs).filter((half) => half === 0)).toHaveLength(2)
      const back = packed(referenceKernels(), codec, ramp, 32)
      expect(Math.max(...back.subarray(32).map(Math.abs))).toBe(0)
    }
  })

  it('has the card’s bins in each of 32 layers, and as many in the same shares of others', () => {
    const bins = (level: 1 | 2 | 3, part: 'keys' | 'values', layers: number): string =>
      Array.from({ length: layers }, (_, layer) => codecsOf({ level }, { layer, layers })[part].name.slice(4)).join()
    const times = (n: number, text: string): string[] => Array.from({ length: n }, () => text)
    expect(bins(2, 'keys', 32)).toBe([...times(10, '32'), ...times(22, '16')].join())
    expect(bins(2, 'values', 32)).toBe([...times(2, '32'), ...times(30, '16')].join())
    expect(bins(1, 'keys', 32)).toBe([...times(20, '16'), ...times(12, '12')].join())
    expect(bins(1, 'values', 32)).toBe([...times(2, '16'), ...times(30, '12')].join())
    expect(bins(3, 'keys', 32) + bins(3, 'values', 32)).toBe(`${times(32, '32').join()}${times(32, '32').join()}`)
    expect(bins(2, 'keys', 8)).toBe('32,32,32,16,16,16,16,16')
    expect(bins(2, 'values', 8)).toBe('32,16,16,16,16,16,16,16')
    expect(bins(2, 'values', 1)).toBe('32')
  })

  it('has deltas in bins of 0.5, 1 and 1.5 by thirds, twice or half as wide on the other levels', () => {
    const widths = (level: 1 | 2 | 3): string =>
      Array.from({ length: 6 }, (_, layer) => codecsOf({ level, delta: true }, { layer, layers: 6 }).keys.name.slice(5)).join()
    expect(widths(2)).toBe('0.5,0.5,1,1,1.5,1.5')
    expect(widths(1)).toBe('1,1,2,2,3,3')
    expect(widths(3)).toBe('0.25,0.25,0.5,0.5,0.75,0.75')
  })

  it('codes a delta to the anchor as it is read back', () => {
    const codec = deltaCodec(1)
    const headDim = 16
    // The anchor's scale is 127 / 127, so 0.4 is lost; the next row differs by 0 and 1 from it, whose root mean square is sqrt(1/2).
    const rows = Float32Array.from({ length: 32 }, (_, i) => (i === 0 || i === 16 ? 127 : i < 16 ? 3.4 : i % 2 ? 3 : 4))
    const bytes = new Uint8Array(2 * 18),
      shared = new Uint8Array(18)
    codec.encode!(rows, 2, headDim, bytes, shared)
    expect([...shared.subarray(0, 3)]).toEqual([255, 131, 131])
    expect(fromHalf(shared[16] | (shared[17] << 8))).toBe(1)
    expect([...bytes.subarray(0, 18)]).toEqual([...Array.from({ length: 16 }, () => 128), 0, 0])
    // Seven of 16 channels differ by 1.
    expect(bytes[34] | (bytes[35] << 8)).toBe(toHalf(Math.sqrt(7 / 16)))
    expect([...bytes.subarray(18, 22)]).toEqual([128, 128, 130, 128])
  })

  it('refuses settings that mean nothing', () => {
    expect(() => cachegen({ level: 4 as 3 })).toThrow(PolicySyntaxError)
    expect(() => cachegen({ delta: 'yes' as unknown as boolean })).toThrow(/delta/)
    for (const delta of [false, true])
      expect(() => new KvCache({ ...SHAPE, headDim: 40 }, { policy: compose(cachegen({ delta })) })).toThrow(/multiple of 16/)
  })
})

const numbers = fc.array(fc.oneof(fc.float({ min: -1000, max: 1000, noNaN: true }), fc.constant(0)), { minLength: 5, maxLength: 97 })

describe('cachegen, on any rows', () => {
  it('errs by half a bin at most, and by what float16 adds', () => {
    const setting = fc.record({
      bins: fc.constantFrom(12, 16, 32),
      headDim: fc.constantFrom(16, 48, 64, 80, 128),
      count: fc.integer({ min: 1, max: 70 }),
      base: numbers,
    })
    const kernels = createKernels()
    fc.assert(
      fc.property(setting, ({ bins, headDim, count, base }) => {
        const x = Float32Array.from({ length: count * headDim }, (_, i) => base[(i * 7) % base.length])
        const middle = bins / 2 - 1
        const all = packed(kernels, binsCodec(bins, headDim), x, headDim)
        expect(packed(kernels, binsCodec(bins, headDim), x, headDim, 7)).toEqual(all)
        for (let row = 0; row < count; row++) {
          const own = x.subarray(row * headDim, (row + 1) * headDim)
          const m = Math.max(...own.map(Math.abs))
          own.forEach((value, i) =>
            expect(Math.abs(all[row * headDim + i] - value)).toBeLessThanOrEqual(m / (2 * middle) + m / 1000 + 1e-6),
          )
        }
      }),
      { numRuns: 60 },
    )
  })

  it('with deltas errs by half a bin at most, whichever rows of a page are left', () => {
    const setting = fc.record({
      width: fc.constantFrom(0.25, 0.5, 1, 1.5, 3),
      headDim: fc.constantFrom(16, 64, 256),
      count: fc.integer({ min: 1, max: 10 }),
      base: numbers,
    })
    fc.assert(
      fc.property(setting, ({ width, headDim, count, base }) => {
        const x = Float32Array.from({ length: count * headDim }, (_, i) => base[(i * 7) % base.length])
        const codec = deltaCodec(width)
        const back = throughCodec(codec, x, headDim)
        const m = Math.max(...x.subarray(0, headDim).map(Math.abs))
        for (let row = 0; row < count; row++) {
          let squares = 0
          for (let c = 0; c < headDim; c++) squares += (x[row * headDim + c] - back[c]) ** 2
          const half = row === 0 ? m / 254 : (width / 2) * Math.sqrt(squares / headDim)
          for (let c = 0; c < headDim; c++) {
            const at = row * headDim + c
            expect(Math.abs(back[at] - x[at])).toBeLessThanOrEqual(half * 1.001 + Math.abs(x[at] - back[c]) / 1000 + m / 1000 + 1e-5)
          }
        }
        // A row needs nothing of its page but what is shared.
        const shared = new Uint8Array(codec.shared!(headDim))
        const bytes = new Uint8Array(codec.bytes(count, headDim) - shared.length)
        codec.encode!(x, count, headDim, bytes, shared)
        const one = new Float32Array(headDim)
        const each = bytes.length / count
        codec.decode!(bytes.slice((count - 1) * each), 1, headDim, one, shared)
        expect(one).toEqual(back.slice((count - 1) * headDim))
      }),
      { numRuns: 80 },
    )
  })
})

const SHAPE: CacheShape = { layers: 1, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 10_000 } }

describe('cachegen, in a cache', () => {
  it.each([false, true])('is larger in a coded file and errs less the higher the level; delta: %s', async (delta) => {
    const errors: number[] = [],
      sizes: number[] = []
    for (const level of [1, 2, 3] as const) {
      const { cache, attend, dispose } = besideFull({ ...SHAPE, layers: 1 }, [cachegen({ level, delta })])
      expect((await attend(300)).most).toBe(0)
      let sum = 0
      for (let step = 0; step < 20; step++) sum += (await attend(1)).mean
      errors.push(sum)
      sizes.push((await saved(cache, { coding: cachegenCoding })).length)
      await dispose()
    }
    expect(errors[1]).toBeLessThan(errors[0] * 0.75)
    // One layer is the first, whose bins level 2 has as fine as level 3.
    if (delta) expect(errors[2]).toBeLessThan(errors[1] * 0.75)
    else expect(errors[2]).toBe(errors[1])
    expect(sizes[1]).toBeGreaterThan(sizes[0] * 1.05)
    if (delta) expect(sizes[2]).toBeGreaterThan(sizes[1] * 1.05)
  })

  it('has its codecs layer by layer, and is smaller in a coded file than in memory and than kivi there', async () => {
    const shape = { ...SHAPE, layers: 8 }
    const sizes: Record<string, number> = {}
    for (const preset of [cachegen(), cachegen({ level: 3 }), kivi({ bits: 4, residual: 32 })]) {
      const cache = new KvCache(shape, { policy: compose(preset), kernels: createKernels() })
      const random = createRandom(1)
      for (let part = 0; part < 2; part++) await feed(cache, draw(shape, 256, random))
      const codes = 2 * 512 * 64
      // Four layers in 8 bits, keys of the first three and values of the first.
      if (preset.text === 'cachegen') expect(cache.ledger().payload).toBe(codes * (4 + 12 / 2))
      sizes[preset.text] = (await saved(cache, { coding: cachegenCoding })).length
      expect(sizes[preset.text]).toBeLessThan(cache.ledger().bytes)
      await cache.dispose()
    }
    expect(sizes['cachegen']).toBeLessThan(sizes['kivi(bits=4, residual=32)'])
    expect(sizes['cachegen(level=3)']).toBeGreaterThan(sizes['cachegen'])
  })
})

const shape = { ...SHAPE, layers: 3 }
testMethod('cachegen', () => [cachegen()], { describe, it }, { shape })
testMethod('cachegen, level 1', () => [cachegen({ level: 1 })], { describe, it }, { shape: { ...shape, headDim: 80 } })
testMethod('cachegen, level 3', () => [cachegen({ level: 3 })], { describe, it }, { shape })
testMethod('cachegen, deltas', () => [cachegen({ delta: true })], { describe, it }, { shape })
