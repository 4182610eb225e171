import { layoutBytes, ownHeap, referenceKernels, softmaxStateBytes, type Kernels, type WasmHeap } from '@kvfold/kernels'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { kernelsOfBuild } from '../src/wasm/kernels.ts'
import { builds } from './builds.ts'
import {
  cuts,
  get,
  headDims,
  layouts,
  meanError,
  numbers,
  put,
  relativeError,
  settings,
  uncoded,
  write,
  writePages,
  type Setting,
} from './random-rows.ts'

// Both kernel sets work on the same heap, on the same inputs. Stated tolerance: 1e-5 of the largest value. In decode, packed rows are
// multiplied in 16 bits: 5e-4 (their codes have 8 bits or fewer). The relaxed build multiplies fewer than 8 bits in 8: see float64.test.ts.
const TOLERANCE = 1e-5
const PACKED = 5e-4
const SHORT = 0.08

let heap: WasmHeap, wasm: Kernels, reference: Kernels

/** Runs some kernels of both sets on fresh copies of a state, and compares what they leave. */
function both(bytes: number, run: (kernels: Kernels, at: number) => void): [Float32Array, Float32Array] {
  return [wasm, reference].map((kernels) => {
    const at = heap.malloc(bytes)
    heap.f32.fill(0, at >>> 2, (at + bytes) >>> 2)
    run(kernels, at)
    return get(heap, at, bytes / 4)
  }) as [Float32Array, Float32Array]
}

const twoSegments = settings({ rows: 200, count: 4 }).chain((setting) =>
  settings({ rows: 90, count: 1 }, fc.constant(setting)).map((more): [Setting, Setting] => [setting, more]),
)

const settingsOfPages = headDims.chain((headDim) =>
  fc.record({
    headDim: fc.constant(headDim),
    layout: layouts(headDim),
    rows: fc.integer({ min: 1, max: 16 }),
    spare: fc.nat(9),
    seed: fc.integer(),
  }),
)

const causals = (setting: Setting): number[] => [-1, 0, Math.max(0, setting.rows - setting.count), 7]

describe.each(builds)('wasm kernels agree with the reference: %s', (build) => {
  beforeEach(async () => {
    heap = ownHeap()
    wasm = kernelsOfBuild(build, heap)
    reference = referenceKernels(heap)
  })

  it('attend, over any mix of layouts and any number of segments', () => {
    fc.assert(
      fc.property(twoSegments, fc.boolean(), ([setting, more], wantLogits) => {
        const { queries, rows } = write(reference, setting)
        const second = write(reference, more).rows
        const state = softmaxStateBytes(queries),
          out = queries.group * queries.count * queries.headDim * 4,
          logits = queries.group * queries.count * rows.rows * 4
        const run = (kernels: Kernels, at: number, first = rows, then = second): void => {
          kernels.begin(at, queries)
          kernels.attend(at, queries, first, wantLogits ? { address: at + state + out, stride: rows.rows } : undefined)
          kernels.attend(at, queries, then)
          if (wantLogits) kernels.probabilities(at, queries, { address: at + state + out, stride: rows.rows }, rows.rows)
          kernels.finish(at, queries, at + state)
        }
        const [a, b] = both(state + out + logits, run)
        const raw = [setting.keys, setting.values, more.keys, more.values].every(({ pages }) =>
          pages.every(({ layout }) => layout.kind !== 'affine'),
        )
        if (build !== 'relaxed' || raw) {
          expect(relativeError(a, b)).toBeLessThan(raw ? TOLERANCE : PACKED)
          return
        }
        const bare = [setting, more].map((one) => write(reference, uncoded(one)).rows)
        const [, c] = both(state + out + logits, (kernels, at) => run(kernels, at, ...bare))
        const given = (all: Float32Array): Float32Array => all.subarray(state / 4)
        expect(meanError(given(a), given(b))).toBeLessThan(SHORT + meanError(given(c), given(b)))
      }),
      { numRuns: 120 },
    )
  })

  it('prefill, causal or not, over any mix of layouts', () => {
    fc.assert(
      fc.property(settings({ rows: 200, count: 90 }), fc.nat(3), (setting, which) => {
        const { queries, rows } = write(reference, setting)
        const state = softmaxStateBytes(queries)
        const [a, b] = both(state + queries.group * queries.count * queries.headDim * 4, (kernels, at) => {
          kernels.begin(at, queries)
          kernels.prefill(at, queries, rows, causals(setting)[which])
          kernels.finish(at, queries, at + state)
        })
        expect(relativeError(a, b)).toBeLessThan(TOLERANCE)
      }),
      { numRuns: 120 },
    )
  })

  it('prefill without values: the same max and sum', () => {
    fc.assert(
      fc.property(settings({ rows: 180, count: 70 }), fc.nat(3), (setting, which) => {
        const { queries, rows } = write(reference, setting)
        const causal = causals(setting)[which]
        const statistics = queries.group * queries.count * 8
        const state = softmaxStateBytes(queries)
        const [a, b] = both(2 * state, (kernels, at) => {
          kernels.begin(at, queries)
          kernels.prefill(at, queries, rows, causal)
          kernels.begin(at + state, queries)
          kernels.prefill(at + state, queries, { ...rows, valueTable: 0 }, causal)
        })
        for (const [one, other] of [
          [a.subarray(state / 4, (state + statistics) / 4), a.subarray(0, statistics / 4)],
          [a.subarray(state / 4, (state + statistics) / 4), b.subarray(state / 4, (state + statistics) / 4)],
        ])
          one.forEach((value, i) => {
            if (value !== other[i]) expect(Math.abs(value - other[i])).toBeLessThan(1e-4 * (1 + Math.abs(other[i])))
          })
        expect(a.subarray((state + statistics) / 4).every((value) => value === 0)).toBe(true)
      }),
      { numRuns: 40 },
    )
  })

  it('block-sparse prefill', () => {
    fc.assert(
      fc.property(
        settings({ rows: 160, count: 160 }),
        fc.constantFrom(16, 32, 64, 128),
        fc.infiniteStream(fc.boolean()),
        (setting, size, coins) => {
          const { queries, rows } = write(reference, setting)
          const queryBlocks = Math.ceil(queries.count / size),
            rowBlocks = Math.ceil(rows.rows / size)
          const offsets: number[] = [],
            indices: number[] = []
          for (let head = 0; head < queries.group; head++) {
            offsets.push(indices.length)
            for (let block = 0; block < queryBlocks; block++) {
              for (let row = 0; row < rowBlocks; row++) if (coins.next().value) indices.push(row)
              offsets.push(indices.length)
            }
          }
          const address = heap.malloc((offsets.length + indices.length) * 4)
          heap.i32.set([...offsets, ...indices], address >>> 2)
          const blocks = { size, offsets: address, indices: address + offsets.length * 4 }
          const state = softmaxStateBytes(queries)
          const [a, b] = both(state + queries.group * queries.count * queries.headDim * 4, (kernels, at) => {
            kernels.begin(at, queries)
            kernels.prefill(at, queries, rows, Math.max(0, rows.rows - queries.count), blocks)
            kernels.finish(at, queries, at + state)
          })
          expect(relativeError(a, b)).toBeLessThan(TOLERANCE)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('logits, column sums and column maxima', () => {
    fc.assert(
      fc.property(settings({ rows: 180, count: 70 }), fc.nat(3), (setting, which) => {
        const { queries, rows } = write(reference, setting)
        const causal = causals(setting)[which]
        const state = softmaxStateBytes(queries),
          sums = 2 * queries.group * rows.rows * 4
        const [a, b] = both(state + sums + queries.group * queries.count * (rows.rows + 3) * 4, (kernels, at) => {
          kernels.begin(at, queries)
          kernels.prefill(at, queries, rows, causal)
          kernels.columnSums(at, queries, rows, causal, at + state)
          kernels.columnMaxima(at, queries, rows, causal, at + state + sums / 2)
          kernels.logits(queries, rows, causal, { address: at + state + sums, stride: rows.rows + 3 })
        })
        const part = (data: Float32Array, from: number, to?: number): Float32Array =>
          data.subarray(from / 4, to === undefined ? undefined : to / 4)
        expect(relativeError(part(a, state, state + sums), part(b, state, state + sums))).toBeLessThan(TOLERANCE)
        expect(relativeError(part(a, state + sums), part(b, state + sums))).toBeLessThan(TOLERANCE)
      }),
      { numRuns: 80 },
    )
  })

  it('softmax of rows', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 90 }), fc.integer({ min: 1, max: 5 }), fc.nat(3), fc.integer(), (rows, count, spare, seed) => {
        const stride = rows + spare
        const data = numbers(count * stride, seed).map((value, i) => ((seed + i) % 7 === 0 ? -Infinity : value * 20))
        if (seed % 4 === 0) data.fill(-Infinity, 0, stride)
        const [a, b] = both(count * stride * 4, (kernels, at) => {
          heap.f32.set(data, at >>> 2)
          kernels.softmax(at, count, stride, rows)
          for (let i = 0; i < count; i++) heap.f32.fill(0, (at >>> 2) + i * stride + rows, (at >>> 2) + (i + 1) * stride)
        })
        expect(relativeError(a, b)).toBeLessThan(TOLERANCE)
        for (let i = seed % 4 === 0 ? 1 : 0; i < count; i++) {
          const row = a.subarray(i * stride, i * stride + rows)
          if (row.some((p) => p > 0)) expect(row.reduce((x, y) => x + y, 0)).toBeCloseTo(1, 5)
        }
      }),
    )
  })

  it('the upper triangle of a Gram matrix', () => {
    fc.assert(
      fc.property(fc.constantFrom(4, 6, 16, 64, 80), fc.integer({ min: 0, max: 30 }), fc.integer(), (width, count, seed) => {
        const from = put(heap, numbers(count * width, seed))
        const [a, b] = both(width * width * 4, (kernels, at) => kernels.gram(from, count, width, at)).map((full) =>
          full.map((value, i) => (i % width >= Math.floor(i / width) ? value : 0)),
        )
        expect(relativeError(a, b)).toBeLessThan(1e-5)
      }),
    )
  })

  it('rmsNorm and swiglu', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 70 }), fc.integer(), (rows, width, seed) => {
        const x = put(heap, numbers(rows * width, seed)),
          up = numbers(rows * width, seed + 1)
        const [a, b] = both(rows * width * 8, (kernels, at) => {
          kernels.rmsNorm(x, rows, width, 1e-5, at)
          const gate = at + rows * width * 4
          heap.f32.set(
            get(heap, x, rows * width).map((value, i) => (i % 7 === 0 ? value * 100 : value)),
            gate >> 2,
          )
          kernels.swiglu(gate, put(heap, up), rows * width)
        })
        expect(relativeError(a, b)).toBeLessThan(TOLERANCE)
      }),
    )
  })

  it('matmul', () => {
    fc.assert(
      fc.property(
        fc.nat(9),
        fc.nat(70),
        fc.integer({ min: 1, max: 9 }),
        fc.nat(5),
        fc.boolean(),
        fc.integer(),
        (rows, inner, fours, gap, odd, seed) => {
          const columns = fours * 4 + (odd ? 1 : 0)
          const a = put(heap, numbers(rows * inner, seed))
          const b = put(heap, numbers(inner * (columns + gap), seed + 1))
          const stride = columns + gap
          const [x, y] = both(Math.max(1, rows) * stride * 4, (kernels, at) => {
            // What is there is added to, what lies between the rows stays.
            heap.f32.fill(0.5, at >> 2, (at >> 2) + rows * stride)
            kernels.matmul(a, { address: b, stride }, { address: at, stride }, rows, inner, columns)
          })
          expect(relativeError(x, y)).toBeLessThan(1e-5)
          for (let i = 0; i < rows * stride; i++) if (i % stride >= columns) expect(y[i]).toBe(0.5)
        },
      ),
    )
  })

  it('quantize gives the same bytes, dequantize the same numbers', () => {
    fc.assert(
      fc.property(settingsOfPages, ({ headDim, layout, rows, spare, seed }) => {
        const capacity = rows + spare,
          bytes = layoutBytes(layout, headDim, capacity)
        const data = numbers(rows * headDim, seed)
        // A constant group, and one that the half-precision scale cannot hold.
        if (seed % 3 === 0) data.fill(1.5, 0, headDim)
        if (seed % 5 === 0) data[0] = 1e9
        const from = put(heap, data)
        const [a, b] = both(bytes, (kernels, at) => kernels.quantize(from, rows, headDim, layout, at, capacity))
        expect(new Uint8Array(a.buffer)).toEqual(new Uint8Array(b.buffer))
        const page = heap.malloc(bytes)
        reference.quantize(from, rows, headDim, layout, page, capacity)
        const start = Math.floor(rows / 3)
        const [c, d] = both((rows - start) * headDim * 4, (kernels, at) =>
          kernels.dequantize(page, capacity, layout, start, rows - start, headDim, at),
        )
        expect(c).toEqual(d)
      }),
      { numRuns: 200 },
    )
  })

  it('rope, in place too', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(2, 6, 8, 16, 64, 128),
        fc.integer({ min: 0, max: 20 }),
        fc.integer(),
        fc.boolean(),
        (headDim, count, seed, inPlace) => {
          const from = put(heap, numbers(count * headDim, seed)),
            cos = put(heap, numbers((count * headDim) / 2, seed + 1)),
            sin = put(heap, numbers((count * headDim) / 2, seed + 2))
          const [a, b] = both(count * headDim * 4, (kernels, at) => {
            if (inPlace) heap.u8.copyWithin(at, from, from + count * headDim * 4)
            kernels.rope(inPlace ? at : from, at, count, headDim, cos, sin)
          })
          // Of the products, which may cancel: they are 9 at most.
          a.forEach((value, i) => expect(Math.abs(value - b[i])).toBeLessThan(9 * 4e-7))
        },
      ),
    )
  })

  it('gather moves the same bytes', () => {
    fc.assert(
      fc.property(
        fc
          .integer({ min: 1, max: 150 })
          .chain((rows) =>
            fc.record({ cut: cuts(rows, 16), keep: fc.array(fc.boolean(), { minLength: rows, maxLength: rows }), into: cuts(rows, 16) }),
          ),
        headDims,
        ({ cut, keep, into }, headDim) => {
          const raw = (one: typeof cut): typeof cut => ({
            ...one,
            pages: one.pages.map((page) => ({ ...page, layout: { kind: 'raw32' as const } })),
          })
          const indices = keep.flatMap((kept, i) => (kept ? [i] : []))
          const list = heap.malloc(Math.max(1, indices.length) * 4)
          heap.i32.set(indices, list >>> 2)
          const from = writePages(reference, raw(cut), headDim)
          const [a, b] = [wasm, reference].map((kernels) => {
            const table = writePages(reference, { ...raw(into), seed: 99 }, headDim)
            kernels.gather(from, cut.pages.length, table, into.pages.length, list, indices.length, 0, headDim * 4)
            return into.pages.map((page, i) => get(heap, heap.i32[(table >>> 2) + i * 4], page.rows * headDim))
          })
          expect(a).toEqual(b)
        },
      ),
    )
  })

  it('isFinite finds NaN and infinity anywhere', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 70 }),
        fc.option(fc.tuple(fc.nat(69), fc.constantFrom(NaN, Infinity, -Infinity))),
        (count, bad) => {
          const data = numbers(count, 5)
          if (bad && bad[0] < count) data[bad[0]] = bad[1]
          const at = put(heap, data)
          expect(wasm.isFinite(at, count)).toBe(!(bad && bad[0] < count))
          expect(reference.isFinite(at, count)).toBe(!(bad && bad[0] < count))
        },
      ),
    )
  })

  it('heads that are no multiple of 16 take the reference', () => {
    const queries = { address: put(heap, numbers(24, 1)), group: 1, count: 1, headDim: 24 }
    const page = put(heap, numbers(24 * 5, 2)),
      table = heap.malloc(16)
    heap.i32.set([page, 5, 0, 5], table >>> 2)
    const rows = { keyTable: table, keyPages: 1, valueTable: table, valuePages: 1, rows: 5, bias: 0, logitScale: 1, logWeight: 0 }
    const [a, b] = both(softmaxStateBytes(queries), (kernels, at) => {
      kernels.begin(at, queries)
      kernels.attend(at, queries, rows)
    })
    expect(a).toEqual(b)
  })
})
