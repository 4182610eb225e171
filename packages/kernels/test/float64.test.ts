import { ownHeap, referenceKernels, softmaxStateBytes, type Heap, type Kernels, type Queries, type Rows } from '@kvfold/kernels'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { kernelsOfBuild } from '../src/wasm/kernels.ts'
import { builds } from './builds.ts'
import { get, meanError, numbers, put, relativeError, settings, uncoded, write, writePages, type Setting } from './random-rows.ts'

/** All rows of a page table as the reference decodes them. */
function decoded({ heap, dequantize }: Kernels, table: number, pages: Setting['keys']['pages'], headDim: number): number[] {
  return pages.flatMap(({ rows, spare, layout }, i) => {
    const into = heap.malloc(rows * headDim * 4)
    dequantize(heap.i32[(table >>> 2) + i * 4] >>> 0, rows + spare, layout, 0, rows, headDim, into)
    const numbers = [...get(heap, into, rows * headDim)]
    heap.free(into)
    return numbers
  })
}

/** Attention and its column sums in doubles, with the whole matrix, in the order of the textbook. */
function plain(
  heap: Heap,
  queries: Queries,
  rows: Rows,
  causal: number,
  keys: number[],
  values: number[],
): { out: Float32Array; sums: Float32Array } {
  const { group, count, headDim, keyDim = headDim } = queries
  const q = get(heap, queries.address, group * count * keyDim)
  const bias = rows.bias ? get(heap, rows.bias, rows.rows) : undefined
  const out = new Float32Array(group * count * headDim)
  const sums = new Float64Array(group * rows.rows)
  for (let query = 0; query < group * count; query++) {
    const visible = causal < 0 ? rows.rows : Math.min(rows.rows, causal + (query % count) + 1)
    const logits = Array.from({ length: visible }, (_, row) => {
      let dot = 0
      for (let c = 0; c < keyDim; c++) dot += q[query * keyDim + c] * keys[row * keyDim + c]
      return (dot / Math.sqrt(headDim)) * rows.logitScale + rows.logWeight + (bias?.[row] ?? 0)
    })
    const largest = Math.max(...logits)
    const weights = logits.map((logit) => Math.exp(logit - largest))
    const total = weights.reduce((a, b) => a + b, 0)
    weights.forEach((weight, row) => (sums[Math.floor(query / count) * rows.rows + row] += weight / total))
    for (let c = 0; c < headDim; c++)
      out[query * headDim + c] = weights.reduce((sum, w, row) => sum + (w / total) * values[row * headDim + c], 0)
  }
  return { out, sums: Float32Array.from(sums) }
}

/** What is promised where packed rows are multiplied as integers of 16 bits. */
const PACKED = 5e-4

/**
 * What is promised where numbers meet 8 bits, in the mean over outputs: a tenth of what the codes themselves err by, over many settings; over few outputs, where
 * that may be small by chance, 0.08. Numbers are below 3 here, steps 6 / top, codes top / sqrt(12) from their middle on average, and rounding errs by
 * 1 / sqrt(12) of a unit: a logit by 3 * 6 / 127 / 12 = 0.012, times 1.3 and 3 in outputs; 64 weights by 8 * 6 / 127 / 12 = 0.03.
 */
const SHORT = { all: 0.1, one: 0.08 }

it.each(builds)('decode agrees with doubles over every layout: %s', (build) => {
  const heap = ownHeap()
  const wasm = kernelsOfBuild(build, heap)
  const reference = referenceKernels(heap)
  const doubles = (setting: Setting, { queries, rows }: ReturnType<typeof write>): Float32Array => {
    const keys = decoded(reference, rows.keyTable, setting.keys.pages, setting.keyDim)
    const values = decoded(reference, rows.valueTable, setting.values.pages, queries.headDim)
    return plain(heap, queries, rows, -1, keys, values).out
  }
  let off = 0
  let codecs = 0
  fc.assert(
    fc.property(settings({ rows: 150, count: 2 }), (setting) => {
      const { queries, rows } = write(reference, setting)
      const expected = doubles(setting, { queries, rows })
      const state = heap.malloc(softmaxStateBytes(queries))
      const out = heap.malloc(expected.byteLength)
      wasm.begin(state, queries)
      wasm.attend(state, queries, rows)
      wasm.finish(state, queries, out)
      const got = get(heap, out, expected.length)
      if (build !== 'relaxed') {
        expect(relativeError(got, expected)).toBeLessThan(PACKED)
        return
      }
      const bare = uncoded(setting)
      const error = meanError(got, expected)
      const codec = meanError(expected, doubles(bare, write(reference, bare)))
      expect(error).toBeLessThan(SHORT.one + codec)
      off += error ** 2
      codecs += codec ** 2
    }),
    { numRuns: 200 },
  )
  expect(off).toBeLessThanOrEqual(SHORT.all ** 2 * codecs)
})

it.each(builds)('channels of very different sizes keep their bits, also where a page looks unlike the first: %s', (build) => {
  const heap = ownHeap()
  const wasm = kernelsOfBuild(build, heap)
  const reference = referenceKernels(heap)
  const headDim = 64
  /** Large in all pages; next to constant in the first, and large later; the reverse; ordinary. */
  const size = (channel: number, page: number): number => [100, page > 0 ? 30 : 1e-4, page > 0 ? 1e-4 : 30][channel % 8] ?? 1
  fc.assert(
    fc.property(fc.constantFrom(2 as const, 4 as const, 8 as const), fc.integer({ min: 1, max: 4 }), fc.integer(), (bits, group, seed) => {
      const pages = Array.from({ length: 5 }, () => ({
        rows: 32,
        spare: 0,
        layout: { kind: 'affine' as const, bits, axis: 'channel' as const, group: 32 },
      }))
      const cut = { seed, pages }
      // Large channels have small queries, as in models: else one row would have all weight.
      const asked = numbers(group * headDim, seed).map((x, at) => x / [100, 30, 30, 1][Math.min(3, at % 8)])
      const queries = { address: put(heap, asked), group, count: 1, headDim }
      const raw = { seed: seed + 1, pages: pages.map((page) => ({ ...page, layout: { kind: 'raw32' as const } })) }
      const keyTable = writePages(reference, cut, headDim, size)
      const valueTable = writePages(reference, raw, headDim)
      const rows = { keyTable, keyPages: 5, valueTable, valuePages: 5, rows: 160, bias: 0, logitScale: 1, logWeight: 0 }
      const keys = decoded(reference, keyTable, pages, headDim)
      const expected = plain(heap, queries, rows, -1, keys, decoded(reference, valueTable, raw.pages, headDim)).out
      const state = heap.malloc(softmaxStateBytes(queries))
      const out = heap.malloc(expected.byteLength)
      wasm.begin(state, queries)
      wasm.attend(state, queries, rows)
      wasm.finish(state, queries, out)
      expect(relativeError(get(heap, out, expected.length), expected)).toBeLessThan(
        build !== 'relaxed' || bits === 8 ? PACKED : 2 * SHORT.one,
      )
    }),
  )
})

it.each(builds)('attention and column sums agree with doubles, and leave no bytes behind: %s', (build) => {
  const heap = ownHeap()
  const wasm = kernelsOfBuild(build, heap)
  const reference = referenceKernels(heap)
  fc.assert(
    fc.property(settings({ rows: 150, count: 40 }), fc.boolean(), (setting, causally) => {
      const { queries, rows } = write(reference, setting)
      const causal = causally ? Math.max(0, setting.rows - setting.count) : -1
      const keys = decoded(reference, rows.keyTable, setting.keys.pages, setting.keyDim)
      const values = decoded(reference, rows.valueTable, setting.values.pages, queries.headDim)
      const expected = plain(heap, queries, rows, causal, keys, values)
      const before = heap.live
      for (const kernels of [wasm, reference]) {
        const state = heap.malloc(softmaxStateBytes(queries))
        const out = heap.malloc(expected.out.byteLength)
        const sums = heap.malloc(expected.sums.byteLength)
        heap.f32.fill(0, sums >>> 2, (sums >>> 2) + expected.sums.length)
        kernels.begin(state, queries)
        kernels.prefill(state, queries, rows, causal)
        kernels.columnSums(state, queries, rows, causal, sums)
        kernels.finish(state, queries, out)
        expect(relativeError(get(heap, out, expected.out.length), expected.out)).toBeLessThan(1e-5)
        expect(relativeError(get(heap, sums, expected.sums.length), expected.sums)).toBeLessThan(1e-5)
        for (const address of [state, out, sums]) heap.free(address)
      }
      expect(heap.live).toBe(before)
    }),
    { numRuns: 100 },
  )
})
