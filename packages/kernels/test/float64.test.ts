import {
  ownHeap,
  referenceKernels,
  softmaxStateBytes,
  wasmKernels,
  type Heap,
  type Kernels,
  type Queries,
  type Rows,
} from '@kvfold/kernels'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { get, relativeError, settings, write, type Setting } from './random-rows.ts'

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
const PACKED = 3e-4

it('decode agrees with doubles over every layout', () => {
  const heap = ownHeap()
  const wasm = wasmKernels(heap)
  const reference = referenceKernels(heap)
  fc.assert(
    fc.property(settings({ rows: 150, count: 2 }), (setting) => {
      const { queries, rows } = write(reference, setting)
      const keys = decoded(reference, rows.keyTable, setting.keys.pages, setting.keyDim)
      const values = decoded(reference, rows.valueTable, setting.values.pages, queries.headDim)
      const { out: expected } = plain(heap, queries, rows, -1, keys, values)
      const state = heap.malloc(softmaxStateBytes(queries))
      const out = heap.malloc(expected.byteLength)
      wasm.begin(state, queries)
      wasm.attend(state, queries, rows)
      wasm.finish(state, queries, out)
      expect(relativeError(get(heap, out, expected.length), expected)).toBeLessThan(PACKED)
    }),
    { numRuns: 200 },
  )
})

it('attention and column sums agree with doubles, and leave no bytes behind', () => {
  const heap = ownHeap()
  const wasm = wasmKernels(heap)
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
