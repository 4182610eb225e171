import { fromHalf, ownHeap, softmaxStateBytes, toHalfSaturated, wasmKernels } from '@kvfold/kernels'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { get, headDims, numbers, put } from './random-rows.ts'

const heap = ownHeap()
const wasm = wasmKernels(heap)
const raw16 = { kind: 'raw16' } as const
const finite = Uint16Array.from({ length: 2 * 0x7c00 }, (_, i) => (i < 0x7c00 ? i : 0x8000 + i - 0x7c00))

it('reads every half, and rounds to it what lies nearest', () => {
  const count = finite.length
  const page = heap.malloc(count * 2)
  heap.u16.set(finite, page >>> 1)
  const into = heap.malloc(count * 4)
  wasm.dequantize(page, count / 16, raw16, 0, count / 16, 16, into)
  expect(get(heap, into, count)).toEqual(Float32Array.from(finite, fromHalf))

  // Halves, what lies between two of them, and the floats beside that; and what is too large.
  const bits = new Uint32Array(1)
  const float = new Float32Array(bits.buffer)
  const near = [...finite].flatMap((half) => {
    float[0] = (fromHalf(half) + fromHalf(half === 0x7bff || half === 0xfbff ? half : half + 1)) / 2
    return [-1, 0, 1].map((step) => ((bits[0] += step), float[0]))
  })
  const x = Float32Array.from([...near, 65519, 65520, 1e9, -1e30, 1e-30, -1e-30, 3e38, 0, -0, 0, 0, 0, 0, 0, 0, 0])
  const from = put(heap, x)
  wasm.quantize(from, x.length / 16, 16, raw16, into, x.length / 16)
  expect(heap.u16.slice(into >>> 1, (into >>> 1) + x.length)).toEqual(Uint16Array.from(x, toHalfSaturated))
  for (const address of [page, into, from]) heap.free(address)
})

/** Halves of any bits whose exponents are among some. */
const KINDS = { any: [0, 30], subnormal: [0, 0], small: [0, 5], usual: [10, 16], large: [30, 30] }
type Kind = keyof typeof KINDS

function halves(count: number, kind: Kind, seed: number): Uint16Array {
  const [low, high] = KINDS[kind]
  return Uint16Array.from(numbers(count, seed), (x, i) => {
    const random = Math.floor(((x + 3) / 6) * 2 ** 24)
    return ((random & 1) << 15) | ((low + (i % (high - low + 1))) << 10) | ((random >>> 1) & 0x3ff)
  })
}

/** Pages of these rows, which end anywhere. */
function table(data: Uint16Array, headDim: number, sizes: readonly number[]): number {
  const entries: number[] = []
  const all = heap.malloc(data.byteLength)
  heap.u16.set(data, all >>> 1)
  for (let first = 0, i = 0; first * headDim < data.length; i++) {
    const rows = Math.min(sizes[i % sizes.length], data.length / headDim - first)
    entries.push(all + first * headDim * 2, rows, 16, rows)
    first += rows
  }
  const at = heap.malloc(entries.length * 4)
  heap.i32.set(entries, at >>> 2)
  return at
}

it('decodes subnormal and very large halves where they lie as doubles do', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 5 })
  const kinds = fc.constantFrom(...(Object.keys(KINDS) as Kind[]))
  const setting = fc.record({
    headDim: headDims,
    count: fc.integer({ min: 1, max: 13 }),
    rows: fc.integer({ min: 1, max: 150 }),
    keys: kinds,
    values: kinds,
    keySizes: sizes,
    valueSizes: sizes,
    seed: fc.integer(),
  })
  fc.assert(
    fc.property(setting, ({ headDim, count, rows, keys: keyKind, values: valueKind, keySizes, valueSizes, seed }) => {
      const k = halves(rows * headDim, keyKind, seed)
      const v = halves(rows * headDim, valueKind, seed + 1)
      const keys = Array.from(k, fromHalf),
        values = Array.from(v, fromHalf)
      // Queries of a size that makes logits neither all alike nor all but one nothing.
      const largest = keys.reduce((most, key) => Math.max(most, Math.abs(key)), 0)
      const q = numbers(count * headDim, seed + 2).map((x) => x / largest)
      const queries = { address: put(heap, q), group: count, count: 1, headDim }
      const segment = { keyTable: table(k, headDim, keySizes), keyPages: 0, valueTable: table(v, headDim, valueSizes), valuePages: 0 }
      const state = heap.malloc(softmaxStateBytes(queries)),
        out = heap.malloc(count * headDim * 4),
        logits = heap.malloc(count * rows * 4)
      wasm.begin(state, queries)
      wasm.attend(state, queries, { ...segment, rows, bias: 0, logitScale: 1, logWeight: 0 }, { address: logits, stride: rows })
      wasm.finish(state, queries, out)
      const [gotLogits, gotOut] = [get(heap, logits, count * rows), get(heap, out, count * headDim)]
      const most = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
      for (let i = 0; i < count; i++) {
        const wanted = Array.from({ length: rows }, (_, row) => {
          let dot = 0,
            size = 0
          for (let c = 0; c < headDim; c++) {
            dot += q[i * headDim + c] * keys[row * headDim + c]
            size += Math.abs(q[i * headDim + c] * keys[row * headDim + c])
          }
          expect(Math.abs(gotLogits[i * rows + row] - dot / Math.sqrt(headDim))).toBeLessThanOrEqual(1e-6 * size + 1e-30)
          return dot / Math.sqrt(headDim)
        })
        const top = Math.max(...wanted)
        const weights = wanted.map((logit) => Math.exp(logit - top))
        const total = weights.reduce((a, b) => a + b, 0)
        for (let c = 0; c < headDim; c++) {
          const output = weights.reduce((sum, w, row) => sum + w * values[row * headDim + c], 0) / total
          expect(Math.abs(gotOut[i * headDim + c] - output)).toBeLessThanOrEqual(2e-6 * most)
        }
      }
    }),
    { numRuns: 60 },
  )
})
