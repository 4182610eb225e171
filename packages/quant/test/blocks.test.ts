import { createKernels, fromHalf, ownHeap, referenceKernels, toHalf, wasmKernels } from '@kvfold/kernels'
import {
  type CacheShape,
  type Codec,
  compose,
  type Encoder,
  KvCache,
  PolicySyntaxError,
  type Preset,
  UnsupportedPolicyError,
} from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { int4, int8 } from '../src/index.ts'
import { expectClose, packed } from './support.ts'

const codecOf = (preset: Preset): Codec => (preset.encode as Encoder).classes[0].keys
const q8 = codecOf(int8())
const q4 = codecOf(int4())

/** A block of 32 that starts so; the rest is zero. */
function block(...first: number[]): Float32Array {
  const x = new Float32Array(32)
  x.set(first)
  return x
}

/** Below that, 1 / d is not a number any more: llama.cpp reads back nonsense, we zeros. */
const normal = (x: number): number => (Math.abs(x) < 1e-30 ? 0 : x)

/** What llama.cpp's reference would read back: its code, in float32 throughout, block by block. */
function expected(x: Float32Array, bits: 4 | 8): Float32Array {
  const out = new Float32Array(x.length)
  for (let at = 0; at < x.length; at += 32) {
    const own = [...x.subarray(at, at + 32)]
    const most = own.reduce((m, v) => (Math.abs(v) > Math.abs(m) ? v : m), 0)
    const d = Math.fround(bits === 8 ? Math.abs(most) / 127 : most / -8)
    const id = d ? Math.fround(1 / d) : 0
    const stored = fromHalf(toHalf(d))
    own.forEach((v, i) => {
      const scaled = Math.fround(v * id)
      const code = bits === 8 ? Math.sign(scaled) * Math.round(Math.abs(scaled)) : Math.min(15, Math.trunc(Math.fround(scaled + 8.5))) - 8
      out[at + i] = Math.fround(code * stored)
    })
  }
  return out
}

describe.each([
  ['reference', () => referenceKernels()],
  ['fastest', () => createKernels()],
] as const)('blocks of llama.cpp, %s kernels', (_, make) => {
  const kernels = make()

  it('packs the examples by hand', () => {
    const x = block(1, -2, 0.5, 3)
    expect([...packed(kernels, q4, x, 32).subarray(0, 5)]).toEqual([1.125, -1.875, 0.375, 3, 0])
    expect([...packed(kernels, q4, block(1, -2, 0.5, -3), 32).subarray(0, 4)]).toEqual([1.125, -1.875, 0.375, -3])
    const d = fromHalf(toHalf(3 / 127))
    expectClose(packed(kernels, q8, x, 32).subarray(0, 5), [42 * d, -85 * d, 21 * d, 127 * d, 0], 1e-7)
  })

  it('reads back what llama.cpp would, to the bit', () => {
    const numbers = fc.array(fc.oneof(fc.float({ min: -500, max: 500, noNaN: true }), fc.constantFrom(0, 1, -1, 2.5)), {
      minLength: 5,
      maxLength: 97,
    })
    fc.assert(
      fc.property(
        numbers,
        fc.integer({ min: 1, max: 70 }),
        fc.constantFrom(32, 64, 128),
        fc.integer({ min: 1, max: 9 }),
        (base, rows, dim, step) => {
          const x = Float32Array.from({ length: rows * dim }, (__, i) => normal(base[(i * 7 + Math.floor(i / 61)) % base.length]))
          for (const bits of [4, 8] as const) {
            const back = packed(kernels, bits === 4 ? q4 : q8, x, dim, step)
            const wanted = expected(x, bits)
            // -0 and 0 are one number.
            expect(back.map((y) => y + 0)).toEqual(wanted.map((y) => y + 0))
          }
        },
      ),
      { numRuns: 25 },
    )
  })

  it('errs by max / 254, or by max / 16 (max / 8 at the end without a code), and by the rounding of the scale', () => {
    fc.assert(
      fc.property(fc.array(fc.float({ min: -60000, max: 60000, noNaN: true }), { minLength: 32, maxLength: 32 }), (base) => {
        const x = Float32Array.from(base)
        const most = x.reduce((m, v) => (Math.abs(v) > Math.abs(m) ? v : m), 0)
        const slack = Math.abs(most) * (2 ** -11 + 1e-6) + 128 * 2 ** -25
        packed(kernels, q8, x, 32).forEach((y, i) => expect(Math.abs(y - x[i])).toBeLessThanOrEqual(Math.abs(most) / 254 + slack))
        packed(kernels, q4, x, 32).forEach((y, i) => {
          const bare = x[i] / -most > 15 / 16 - 1e-6
          expect(Math.abs(y - x[i])).toBeLessThanOrEqual(Math.abs(most) / (bare ? 8 : 16) + slack)
        })
      }),
    )
  })
})

describe('int8 and int4', () => {
  it('take 9 and 5 bits a number', () => {
    expect(q8.bytes(64, 64) / 64).toBe(72)
    expect(q4.bytes(64, 64) / 64).toBe(40)
  })

  it('refuse heads that blocks of 32 do not divide, and unknown settings', () => {
    const shape: CacheShape = { layers: 1, queryHeads: 1, kvHeads: 1, headDim: 48, rope: { theta: 10_000 } }
    expect(() => new KvCache(shape, { policy: compose(int8()) })).toThrow(UnsupportedPolicyError)
    expect(() => int4({ residual: -1 })).toThrow(PolicySyntaxError)
  })
})

const shape: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 10_000 } }
testMethod('int8', () => [int8()], { describe, it }, { shape })
testMethod('int4', () => [int4()], { describe, it }, { shape })
testMethod('int4, with a tail', () => [int4({ residual: 20 })], { describe, it }, { shape })
testMethod('int8, wasm kernels', () => [int8()], { describe, it }, { shape, kernels: () => wasmKernels(ownHeap()) })
