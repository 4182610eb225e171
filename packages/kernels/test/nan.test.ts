import { ownHeap, referenceKernels, softmaxStateBytes, wasmKernels, type Kernels } from '@kvfold/kernels'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { get, numbers, put } from './random-rows.ts'

const HEAD = 16

/** Which queries come out as NaN, where some key rows hold one. */
function spoiled(kernels: Kernels, rows: number, count: number, bad: number[], way: 'attend' | 'prefill'): boolean[] {
  const { heap } = kernels
  const keys = numbers(rows * HEAD, 1)
  for (const row of bad) keys[row * HEAD + (row % HEAD)] = NaN
  const queries = { address: put(heap, numbers(count * HEAD, 2)), group: 1, count, headDim: HEAD }
  const [keyTable, valueTable] = [put(heap, keys), put(heap, numbers(rows * HEAD, 3))].map((page) => {
    const table = heap.malloc(16)
    heap.i32.set([page, rows, 0, rows], table >>> 2)
    return table
  })
  const segment = { keyTable, keyPages: 1, valueTable, valuePages: 1, rows, bias: 0, logitScale: 1, logWeight: 0 }
  const state = heap.malloc(softmaxStateBytes(queries))
  const out = heap.malloc(count * HEAD * 4)
  kernels.begin(state, queries)
  if (way === 'attend') kernels.attend(state, queries, segment)
  else kernels.prefill(state, queries, segment, Math.max(0, rows - count))
  kernels.finish(state, queries, out)
  const result = get(heap, out, count * HEAD)
  return Array.from({ length: count }, (_, i) => result.subarray(i * HEAD, (i + 1) * HEAD).every(Number.isNaN))
}

it('a NaN among the keys reaches every query that sees it, however many there are', () => {
  // A few rows anywhere; or all rows from the edge of a block on, so that a whole block has no number at all.
  const rowsAndBad = fc.integer({ min: 1, max: 150 }).chain((rows) =>
    fc.tuple(
      fc.constant(rows),
      fc.oneof(
        fc.uniqueArray(fc.nat(rows - 1), { maxLength: 4 }),
        fc.constantFrom(0, 64, 128).map((edge) => Array.from({ length: rows }, (_, i) => i).filter((row) => row >= edge)),
      ),
    ),
  )
  fc.assert(
    fc.property(rowsAndBad, fc.integer({ min: 1, max: 20 }), fc.constantFrom('attend', 'prefill'), ([rows, bad], count, way) => {
      const expected = spoiled(referenceKernels(ownHeap()), rows, count, bad, way)
      expect(spoiled(wasmKernels(ownHeap()), rows, count, bad, way)).toEqual(expected)
    }),
    { numRuns: 150 },
  )
})
