import { ownHeap, referenceKernels } from '@kvfold/kernels'
import { affine, type Codec, raw16 } from '@kvfold/kv-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PagePool } from '../src/page.ts'
import { PageList } from '../src/page-list.ts'

const DIM = 16

/** 8 bits of a step that a page's rows share, and a byte that tells it when it is read without what they share. */
const shares: Codec = {
  name: 'shares',
  layout: 'opaque',
  pageRows: () => 24,
  bytes: (rows, headDim) => rows * headDim + 5,
  shared: () => 5,
  encode(rows, count, headDim, into, shared) {
    const step = Math.fround(Math.max(...rows.map(Math.abs)) / 127 || 1)
    shared.set(new Uint8Array(Float32Array.of(step).buffer))
    shared[4] = 77
    for (let i = 0; i < count * headDim; i++) into[i] = Math.round(rows[i] / step) + 128
  },
  decode(bytes, count, headDim, into, shared) {
    if (shared[4] !== 77) throw new Error('What the rows share is gone.')
    const step = new Float32Array(shared.slice(0, 4).buffer)[0]
    for (let i = 0; i < count * headDim; i++) into[i] = (bytes[i] - 128) * step
  },
}

/** Whole numbers -8 .. 7, by a rounding of its own, in a layout of the kernels. */
const whole: Codec = {
  ...affine({ bits: 4, axis: 'token', group: 16 }),
  name: 'whole',
  encode(rows, count, headDim, into) {
    const half = headDim / 2
    for (let i = 0; i < count; i++)
      for (let j = 0; j < half; j++) {
        const [low, high] = [rows[i * headDim + j], rows[i * headDim + half + j]].map((x) => Math.round(x) + 8)
        into[i * half + j] = low | (high << 4)
      }
    // 1 and -8 as halves.
    new Uint16Array(into.buffer, into.byteOffset + count * half, 2 * count).fill(0x3c00, 0, count).fill(0xc800, count)
  },
}

const codecs: Codec[] = [
  raw16,
  shares,
  whole,
  affine({ bits: 8, axis: 'token', group: 16 }),
  affine({ bits: 2, axis: 'token', group: 8 }),
  affine({ bits: 4, axis: 'channel', group: 24 }),
]

type Step = { do: 'append'; count: number } | { do: 'keep'; every: number; from: number } | { do: 'pack'; share: number } | { do: 'fork' }
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('append' as const), count: fc.integer({ min: 1, max: 150 }) }),
    fc.record({ do: fc.constant('keep' as const), every: fc.integer({ min: 1, max: 4 }), from: fc.integer({ min: 0, max: 100 }) }),
    fc.record({ do: fc.constant('pack' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
    fc.record({ do: fc.constant('fork' as const) }),
  ),
  { minLength: 1, maxLength: 12 },
)

describe('a page list', () => {
  it('holds what a plain list of rows would hold; packed rows change once, by at most half a step, and never again', () => {
    fc.assert(
      fc.property(steps, fc.constantFrom(...codecs), (plan, codec) => {
        const heap = ownHeap()
        const kernels = referenceKernels(heap),
          pool = new PagePool(heap)
        let list = new PageList(kernels, pool, DIM)
        const others: { list: PageList; rows: Float32Array }[] = []
        let rows: number[][] = [],
          packed = 0,
          next = 0
        for (const step of plan) {
          if (step.do === 'append') {
            const added = Array.from({ length: step.count }, () => Array.from({ length: DIM }, () => Math.fround(Math.sin(next++) * 5)))
            list.append(step.count, (first, count, address) => heap.f32.set(added.slice(first, first + count).flat(), address >> 2))
            rows.push(...added)
          } else if (step.do === 'keep') {
            const keep = rows.map((_, i) => i).filter((i) => i % step.every === 0 || i >= step.from)
            list.retain(Uint32Array.from(keep))
            packed = keep.filter((i) => i < packed).length
            rows = keep.map((i) => rows[i])
          } else if (step.do === 'pack') {
            const count = Math.floor(step.share * (rows.length - packed))
            list.pack(count, codec)
            const after = list.read()
            // 16 bits: half of 2^-8; 8 bits: half of 10/255; 4 bits: half of 10/15; 2 bits: half of 10/3; and the float16 scales' rounding.
            const bits = codec.layout === 'opaque' || codec.layout.kind !== 'affine' ? 8 : codec.layout.bits
            const bound = codec === raw16 ? 2 ** -9 : codec === whole ? 0.5 : 5 / (2 ** bits - 1) + 0.02
            for (let i = 0; i < rows.length; i++) {
              for (let d = 0; d < DIM; d++) {
                const off = Math.abs(after[i * DIM + d] - rows[i][d])
                if (i >= packed && i < packed + count) expect(off).toBeLessThanOrEqual(bound)
                else expect(off).toBe(0)
              }
              rows[i] = [...after.subarray(i * DIM, (i + 1) * DIM)]
            }
            packed += count
          } else others.push({ list: list.share(), rows: list.read() })
          expect(list.rows).toBe(rows.length)
          expect(list.packed).toBe(packed)
          expect(list.read()).toEqual(Float32Array.from(rows.flat()))
          expect(pool.live).toBe(heap.live)
        }
        for (const other of others) {
          expect(other.list.read()).toEqual(other.rows)
          other.list.dispose()
        }
        list.dispose()
        expect(heap.live).toBe(0)
      }),
      { numRuns: 150 },
    )
  })
})
