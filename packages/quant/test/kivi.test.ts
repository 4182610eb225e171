import { fromHalf, type Kernels, type Layout, layoutBytes, referenceKernels } from '@kvfold/kernels'
import { type Codec, type Encoder, PolicySyntaxError, ShapeError } from '@kvfold/kv-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { kivi } from '../src/index.ts'
import { golden } from '../../../tooling/golden.ts'

type Params = Parameters<typeof kivi>[0]
type Affine = Extract<Layout, { kind: 'affine' }>
const encoder = (params?: Params): Encoder => kivi(params).encode as Encoder

interface Packed {
  /** [rows][headDim] */
  codes: Int32Array
  scales: Float32Array
  minima: Float32Array
  decoded: Float32Array
}

/** Packs rows as one page of the codec, and reads everything back. */
function pack(kernels: Kernels, codec: Codec, x: Float32Array, headDim: number): Packed {
  const layout = codec.layout as Affine
  const rows = x.length / headDim
  const { heap } = kernels
  const from = heap.malloc(x.byteLength)
  const page = heap.malloc(codec.bytes(rows, headDim))
  heap.f32.set(x, from / 4)
  kernels.quantize(from, rows, headDim, layout, page, rows)
  kernels.dequantize(page, rows, layout, 0, rows, headDim, from)
  const decoded = heap.f32.slice(from / 4, from / 4 + x.length)
  const rowBytes = (headDim * layout.bits) / 8
  const codes = Int32Array.from(x, (_, i) => {
    const channel = i % headDim
    const byte = heap.u8[page + Math.floor(i / headDim) * rowBytes + (channel % rowBytes)]
    return (byte >> (Math.floor(channel / rowBytes) * layout.bits)) & ((1 << layout.bits) - 1)
  })
  const count = layout.axis === 'channel' ? headDim : x.length / layout.group
  const halves = (page + rows * rowBytes) >> 1
  const scales = Float32Array.from(heap.u16.subarray(halves, halves + count), fromHalf)
  const minima = Float32Array.from(heap.u16.subarray(halves + count, halves + 2 * count), fromHalf)
  heap.free(from)
  heap.free(page)
  return { codes, scales, minima, decoded }
}

/** |a - b| <= rtol |b| + atol, everywhere. */
function expectClose(a: ArrayLike<number>, b: ArrayLike<number>, rtol: number, atol = 0): void {
  expect(a.length).toBe(b.length)
  for (let i = 0; i < a.length; i++) {
    if (!(Math.abs(a[i] - b[i]) <= rtol * Math.abs(b[i]) + atol)) expect({ i, value: a[i] }).toEqual({ i, value: b[i] })
  }
}

describe('kivi, against the authors’ code', () => {
  const { cases, tensor } = golden(new URL('data/', import.meta.url), 'kivi')
  const kernels = referenceKernels()
  const HALF = 2 ** -11
  const HEADS = 2
  const TOKENS = 96
  const DIM = 32

  for (const { id, args, inputs, outputs } of cases.filter((one) => /^[kv]_\dbit/.test(one.id))) {
    it(`${id}: integers exactly, step and minimum to half precision, numbers to what that allows`, () => {
      const isKey = 'k' in inputs
      const bits = args['bits'] as 2 | 4 | 8
      const group = args['group_size'] as 16 | 32
      const { keys, values } = encoder({ bits, group }).classes[0]
      const codec = isKey ? keys : values
      const x = tensor(isKey ? inputs['k'] : inputs['v']).data as Float32Array
      // Keys: a page is one group of tokens. Values: groups lie inside a row, so one page may hold a whole head.
      const pageRows = isKey ? group : TOKENS
      const levels = (1 << bits) - 1
      const [q, scale, mn, dequant] = ['q', 'scale', 'mn', 'dequant'].map((role) => tensor(outputs[role]).data)
      for (let page = 0; page < (HEADS * TOKENS) / pageRows; page++) {
        const size = pageRows * DIM
        const got = pack(kernels, codec, x.subarray(page * size, (page + 1) * size), DIM)
        const groups = got.scales.length
        expect(got.codes).toEqual((q as Int32Array).slice(page * size, (page + 1) * size))
        const scales = scale.slice(page * groups, (page + 1) * groups)
        const minima = mn.slice(page * groups, (page + 1) * groups)
        expectClose(got.scales, scales, HALF)
        expectClose(got.minima, minima, HALF)
        const range = Math.max(...scales) * levels + Math.max(...minima.map(Math.abs))
        expectClose(got.decoded, dequant.slice(page * size, (page + 1) * size), 1e-5, HALF * range)
      }
    })
  }

  it('rounds halves to the even integer', () => {
    const { inputs, outputs } = cases.find((one) => one.id === 'rounding_ties') as (typeof cases)[number]
    const got = pack(kernels, encoder({ group: 32 }).classes[0].values, tensor(inputs['v']).data as Float32Array, 32)
    expect(got.codes).toEqual(tensor(outputs['q']).data)
    expectClose(got.scales, tensor(outputs['scale']).data, HALF)
  })
})

describe('kivi, by hand', () => {
  const kernels = referenceKernels()

  it('packs the example of eight numbers', () => {
    const x = [1, 1.3, 0.1, 0.8, -0.5, 0.2, 0.9, 1.9]
    // Twice, to fill a group of 16 channels: the same extremes, the same codes.
    const got = pack(kernels, encoder({ group: 16 }).classes[0].values, Float32Array.of(...x, ...x), 16)
    expect([...got.codes]).toEqual([2, 2, 1, 2, 0, 1, 2, 3, 2, 2, 1, 2, 0, 1, 2, 3])
    expectClose(got.scales, [0.8], 2 ** -11)
    expectClose(got.minima, [-0.5], 0)
    expectClose(got.decoded.subarray(0, 8), [1.1, 1.1, 0.3, 1.1, -0.5, 0.3, 1.1, 1.9], 0, 1e-3)
  })

  it('keeps an outlier channel of the keys to itself', () => {
    const keys = new Float32Array(32 * 16).map((_, i) => Math.sin(i) * (i % 16 === 3 ? 100 : 1))
    const error = (codec: Codec): number => {
      const { decoded } = pack(kernels, codec, keys, 16)
      return decoded.reduce((sum, y, i) => sum + (i % 16 === 3 ? 0 : (y - keys[i]) ** 2), 0)
    }
    expect(error(encoder({ group: 32 }).classes[0].keys) * 40).toBeLessThan(error(encoder({ group: 16 }).classes[0].values))
  })

  it('leaves tails as the paper does', () => {
    const { flush } = encoder()
    const tail = (rule: { keep: number; step: number }, length: number): number => {
      let rows = length
      while (rows >= rule.keep + rule.step) rows -= rule.step
      return rows
    }
    const tails = [100, 128, 130, 300].map((length) => [tail(flush.keys, length), tail(flush.values, length)])
    expect(tails).toEqual([
      [100, 100],
      [0, 128],
      [2, 128],
      [44, 128],
    ])
  })

  it('takes less than 1/8 of float32 at 4,096 rows of 64, also with the fullest tails', () => {
    const bytes = (params: Params, rows: number, keyTail: number): number => {
      const [{ keys, values }] = encoder(params).classes
      const perRow = (codec: Codec, packed: number): number => (codec.bytes(64, 64) / 64) * packed
      const keyPage = keys.bytes(keys.pageRows(64), 64) / keys.pageRows(64)
      return keyPage * (rows - keyTail) + perRow(values, rows - 128) + (keyTail + 128) * 256 + 4 * rows
    }
    const eighth = (4096 * 512) / 8
    expect(bytes({}, 4096, 0)).toBeLessThan(0.88 * eighth)
    expect(bytes({}, 4096, 127)).toBeLessThan(0.99 * eighth)
    expect(bytes({ group: 32 }, 4096, 0)).toBeLessThan(eighth)
    expect(bytes({ group: 32 }, 4096, 127)).toBeGreaterThan(eighth)
  })

  it('takes groups of 64 tokens and 32 channels, smaller ones where the residual wants it', () => {
    const groups = (params: Params): number[] => {
      const [{ keys, values }] = encoder(params).classes
      return [(keys.layout as Affine).group, (values.layout as Affine).group]
    }
    const residuals = [128, 64, 32, 96, 16, 48]
    expect(residuals.map((residual) => groups({ residual }))).toEqual([
      [64, 32],
      [64, 32],
      [32, 32],
      [32, 32],
      [16, 16],
      [16, 16],
    ])
    expect(groups({})).toEqual([64, 32])
    expect(groups({ group: 16 })).toEqual([16, 16])
    expect(groups({ group: 64 })).toEqual([64, 64])
  })

  it('refuses settings that cannot be packed', () => {
    expect(() => kivi({ residual: 100 })).toThrow(PolicySyntaxError)
    expect(() => kivi({ residual: 32, group: 64 })).toThrow(/32 is not a multiple of 64/)
    expect(() => kivi({ residual: 0 })).toThrow(/residual/)
    expect(() => kivi({ bits: 3 as 2 })).toThrow(/bits/)
    expect(() => kivi({ group: 128 as 64 })).toThrow(/group/)
    expect(() => encoder().classes[0].values.pageRows(80)).toThrow(ShapeError)
    expect(kivi({ bits: 4, residual: 32 }).text).toBe('kivi(bits=4, residual=32)')
  })
})

describe('kivi, on random rows', () => {
  const kernels = referenceKernels()
  const number = fc.float({ min: -1000, max: 1000, noNaN: true })

  it('errs by half a step at most, and by the rounding of step and minimum; constant groups exactly', () => {
    const settings = fc.record({
      bits: fc.constantFrom(2 as const, 4 as const, 8 as const),
      group: fc.constantFrom(16 as const, 32 as const, 64 as const),
      isKey: fc.boolean(),
      count: fc.integer({ min: 1, max: 64 }),
      base: fc.array(number, { minLength: 7, maxLength: 97 }),
    })
    fc.assert(
      fc.property(settings, ({ bits, group, isKey, count, base }) => {
        const headDim = 64
        const [{ keys, values }] = encoder({ bits, group }).classes
        const rows = isKey ? Math.min(count, group) : count
        const x = Float32Array.from({ length: rows * headDim }, (_, i) => base[(i * 7) % base.length])
        const got = pack(kernels, isKey ? keys : values, x, headDim)
        const groupOf = (i: number): number => (isKey ? i % headDim : Math.floor(i / group))
        const levels = (1 << bits) - 1
        for (let i = 0; i < x.length; i++) {
          const scale = got.scales[groupOf(i)]
          const minimum = got.minima[groupOf(i)]
          const slack = 2 ** -11 * (levels * scale + Math.abs(minimum)) + 2 ** -24 * levels + 1e-4
          expect(Math.abs(got.decoded[i] - x[i])).toBeLessThanOrEqual((scale / 2) * (1 + 2 ** -10) + slack)
        }
      }),
      { numRuns: 60 },
    )
  })

  it('takes the bytes that its codec says', () => {
    fc.assert(
      fc.property(fc.constantFrom(2 as const, 4 as const, 8 as const), fc.constantFrom(64, 128, 256), (bits, headDim) => {
        const [{ keys, values }] = encoder({ bits }).classes
        expect(keys.bytes(64, headDim)).toBe(headDim * ((64 * bits) / 8 + 4))
        expect(values.bytes(64, headDim)).toBe(64 * ((headDim * bits) / 8 + (headDim / 32) * 4))
        expect(keys.bytes(64, headDim)).toBe(layoutBytes(keys.layout as Layout, headDim, 64))
      }),
    )
  })
})
