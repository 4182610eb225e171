import { lowRankQueries, ownHeap, referenceKernels, softmaxStateBytes } from '@kvfold/kernels'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { kernelsOfBuild } from '../src/wasm/kernels.ts'
import { builds } from './builds.ts'
import { get, headDims, numbers, put, relativeError, settings, write } from './random-rows.ts'

// 24 coefficients are no multiple of 16: those go to the reference.
const lowRank = headDims.chain((headDim) =>
  settings({ rows: 120, count: 20 }, fc.record({ headDim: fc.constant(headDim), keyDim: fc.constantFrom(16, 32, 24) })),
)

/** Every key as doubles: basis `[headDim][rank]` times coefficients. */
function build(basis: Float32Array, coefficients: Float32Array, rank: number): Float64Array {
  const headDim = basis.length / rank,
    rows = coefficients.length / rank
  return Float64Array.from({ length: rows * headDim }, (_, at) => {
    const row = Math.floor(at / headDim),
      channel = at % headDim
    let sum = 0
    for (let i = 0; i < rank; i++) sum += basis[channel * rank + i] * coefficients[row * rank + i]
    return sum
  })
}

it('gives the logits of keys that are never built', () => {
  const heap = ownHeap()
  const reference = referenceKernels(heap)
  fc.assert(
    fc.property(lowRank, (setting) => {
      const { headDim, keyDim: rank, group, count, seed } = setting
      const { queries, rows } = write(reference, setting)
      const basis = numbers(headDim * rank, seed + 7)
      const asked = numbers(group * count * headDim, seed + 8)
      const whole = { address: put(heap, asked), group, count, headDim }
      const basisAt = put(heap, basis)
      const coefficients = new Float32Array(rows.rows * rank)
      let row = 0
      setting.keys.pages.forEach(({ rows: held, spare, layout }, i) => {
        const into = heap.malloc(held * rank * 4)
        reference.dequantize(heap.i32[(rows.keyTable >>> 2) + i * 4] >>> 0, held + spare, layout, 0, held, rank, into)
        coefficients.set(get(heap, into, held * rank), row * rank)
        heap.free(into)
        row += held
      })
      const keys = build(basis, coefficients, rank)
      const bias = rows.bias ? get(heap, rows.bias, rows.rows) : undefined
      const expected = Float32Array.from({ length: group * count * rows.rows }, (_, at) => {
        const query = Math.floor(at / rows.rows),
          j = at % rows.rows
        let dot = 0
        for (let c = 0; c < headDim; c++) dot += asked[query * headDim + c] * keys[j * headDim + c]
        return (dot / Math.sqrt(headDim)) * rows.logitScale + rows.logWeight + (bias?.[j] ?? 0)
      })
      for (const kernels of [...builds.map((build) => kernelsOfBuild(build, heap)), reference]) {
        const before = heap.live
        const projected = lowRankQueries(kernels, whole, basisAt, rank)
        const state = heap.malloc(softmaxStateBytes(projected.queries))
        const logits = heap.malloc(Math.max(4, expected.byteLength))
        kernels.begin(state, projected.queries)
        kernels.attend(state, projected.queries, rows, { address: logits, stride: rows.rows })
        // 8 bits: a logit errs by sqrt(rank) * (largest of the query) * 6 / 127 / 12 on average, 0.4 to 0.7 % of the logits' own size, and the largest error of many counts.
        expect(relativeError(get(heap, logits, expected.length), expected)).toBeLessThan(Math.max(5e-4, kernels.packedError))
        kernels.logits(projected.queries, rows, -1, { address: logits, stride: rows.rows })
        expect(relativeError(get(heap, logits, expected.length), expected)).toBeLessThan(1e-5)
        heap.free(state)
        heap.free(logits)
        projected.release()
        expect(heap.live).toBe(before)
      }
      heap.free(queries.address)
    }),
    { numRuns: 60 },
  )
})
