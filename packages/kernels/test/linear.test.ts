import {
  fromHalf,
  ownHeap,
  putPackedWeights,
  readWeights,
  referenceKernels,
  toHalf,
  weightsBytes,
  type PackedRow,
  type PackedWeights,
} from '@kvfold/kernels'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { kernelsOfBuild } from '../src/wasm/kernels.ts'
import { builds } from './builds.ts'
import { get, numbers, put } from './random-rows.ts'

/** Random weights of one output. Halves of all sizes, subnormal ones too; a block of zeros here and there. */
function randomRow(kind: PackedWeights['kind'], inputs: number, seed: number): PackedRow {
  const drawn = numbers(inputs, seed)
  const scales = numbers(inputs / 32, seed + 1).map((x, b) => (b % 3 === 2 ? 0 : x * 10 ** -(b % 6)))
  if (kind === 'bf16') {
    const bits = new Uint32Array(drawn.map((x, i) => x * 10 ** -(i % 8)).buffer)
    return { codes: Array.from(bits, (all) => all >>> 16), scales, minima: scales }
  }
  const codes = drawn.map((x, i) =>
    kind === 'f16' ? toHalf(x * 10 ** -(i % 8)) : kind === 'q8' ? Math.round(x * 42) : Math.round(x + 3) + (i % 10),
  )
  return { codes, scales, minima: scales.map((x) => -8 * x) }
}

const setting = fc.record({
  kind: fc.constantFrom('f16' as const, 'bf16' as const, 'q8' as const, 'q4' as const),
  rows: fc.constantFrom(0, 1, 2, 4, 5, 9, 260),
  blocks: fc.integer({ min: 1, max: 5 }),
  eights: fc.integer({ min: 1, max: 5 }),
  gained: fc.boolean(),
  size: fc.constantFrom(1e-20, 1, 1e6),
  seed: fc.integer(),
})

it('products with packed weights agree with doubles', () => {
  fc.assert(
    fc.property(setting, ({ kind, rows, blocks, eights, gained, size, seed }) => {
      const heap = ownHeap()
      const shape = { kind, inputs: blocks * 32, outputs: eights * 8 }
      const { inputs, outputs } = shape
      const gain = gained ? put(heap, numbers(inputs, seed + 2)) : undefined
      const weights = { ...shape, gain, address: heap.malloc(weightsBytes(shape)) }
      for (let output = 0; output < outputs; output++) putPackedWeights(heap, weights, output, randomRow(kind, inputs, seed + 9 * output))
      const plain = readWeights(heap, weights)
      const data = numbers(rows * inputs, seed + 1).map((x) => x * size)
      const x = put(heap, data)
      const gains = gain ? get(heap, gain, inputs) : new Float32Array(inputs).fill(1)
      for (const kernels of [...builds.map((build) => kernelsOfBuild(build, heap)), referenceKernels(heap)]) {
        const into = put(heap, new Float32Array(rows * outputs).fill(0.5))
        kernels.linear(x, rows, weights, into)
        const got = get(heap, into, rows * outputs)
        // Few rows of quantised weights are rounded to 16 bits of the largest number of each block.
        const rounded = kind.startsWith('q') && rows <= 4
        for (let row = 0; row < rows; row++) {
          const at = row * inputs
          const largest = Array.from({ length: blocks }, (_, b) =>
            Math.max(...Array.from({ length: 32 }, (_, i) => Math.abs(data[at + b * 32 + i] * gains[b * 32 + i]))),
          )
          for (let output = 0; output < outputs; output++) {
            let sum = 0.5,
              magnitudes = 0.5,
              rounding = 0
            for (let i = 0; i < inputs; i++) {
              const weight = plain[i * outputs + output]
              sum += data[at + i] * weight
              magnitudes += Math.abs(data[at + i] * weight)
              if (rounded && gains[i] !== 0) rounding += Math.abs(weight / gains[i]) * largest[i >> 5]
            }
            const off = Math.abs(got[row * outputs + output] - sum)
            expect(off).toBeLessThanOrEqual(2e-6 * magnitudes + rounding / 65_000)
          }
        }
      }
    }),
    { numRuns: 60 },
  )
})

it('a matrix reads back as its file has it, in as many bytes', () => {
  const heap = ownHeap()
  const shape = { kind: 'q4' as const, inputs: 64, outputs: 16 }
  const weights = { ...shape, address: heap.malloc(weightsBytes(shape)) }
  // Q4_1: 20 bytes for 32 weights.
  expect(weightsBytes(shape)).toBe((64 * 16 * 20) / 32)
  const rows = Array.from({ length: 16 }, (_, output) => randomRow('q4', 64, 77 + output))
  rows.forEach((row, output) => putPackedWeights(heap, weights, output, row))
  const back = readWeights(heap, weights)
  for (const [output, { codes, scales, minima }] of rows.entries())
    for (let i = 0; i < 64; i++) {
      const [scale, minimum] = [scales, minima].map((of) => fromHalf(toHalf(of[i >> 5])))
      expect(back[i * 16 + output]).toBe(Math.fround(codes[i] * scale + minimum))
    }
})
