import { layoutBytes, layoutCode, PAGE_ENTRY, type Heap, type Kernels, type Layout, type Queries, type Rows } from '@kvfold/kernels'
import fc from 'fast-check'

/** Float32 numbers between -3 and 3, from a seed. */
export function numbers(count: number, seed: number): Float32Array {
  let state = seed | 1
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0
    return ((state >>> 8) / 2 ** 24) * 6 - 3
  })
}

export const headDims: fc.Arbitrary<number> = fc.constantFrom(16, 32, 48, 64, 128)

export const layouts = (headDim: number): fc.Arbitrary<Layout> =>
  fc.oneof(
    fc.constantFrom<Layout>({ kind: 'raw32' }, { kind: 'raw16' }),
    fc
      .record({
        kind: fc.constant('affine' as const),
        bits: fc.constantFrom(2 as const, 4 as const, 8 as const),
        axis: fc.constantFrom('token' as const, 'channel' as const),
        group: fc.constantFrom(...[8, 16, 32, 64, 128].filter((group) => headDim % group === 0)),
        factors: fc.boolean(),
      })
      .map((layout) => ({ ...layout, factors: layout.factors && layout.axis === 'token' })),
  )

/** How the rows of a segment are cut into pages, and how each page is laid out. */
export interface Cut {
  seed: number
  pages: { rows: number; spare: number; layout: Layout }[]
}

export const cuts = (rows: number, headDim: number): fc.Arbitrary<Cut> =>
  fc
    .record({
      seed: fc.integer(),
      sizes: fc.array(fc.integer({ min: 1, max: 64 }), { minLength: rows, maxLength: rows }),
      spares: fc.array(fc.integer({ min: 0, max: 9 }), { minLength: rows, maxLength: rows }),
      layouts: fc.array(layouts(headDim), { minLength: rows, maxLength: rows }),
    })
    .map(({ seed, sizes, spares, layouts: kinds }) => {
      const pages: Cut['pages'] = []
      for (let left = rows; left > 0; left -= pages.at(-1)!.rows) {
        const i = pages.length
        pages.push({ rows: Math.min(left, sizes[i]), spare: spares[i], layout: kinds[i] })
      }
      return { seed, pages }
    })

/** Writes a page list to the heap, its numbers times `size`, and a page past all memory, which nobody may read; returns the address of its table. */
export function writePages(
  kernels: Kernels,
  { seed, pages }: Cut,
  headDim: number,
  size: (channel: number, page: number) => number = () => 1,
): number {
  const { heap } = kernels
  const table = heap.malloc((pages.length + 1) * PAGE_ENTRY * 4)
  const nowhere = layoutCode({ kind: 'affine', bits: 8, axis: 'token', group: 16 })
  heap.i32.set([-65536, 64, nowhere, 64], (table >>> 2) + pages.length * PAGE_ENTRY)
  pages.forEach(({ rows, spare, layout }, i) => {
    const capacity = rows + spare
    const address = heap.malloc(layoutBytes(layout, headDim, capacity))
    const from = put(
      heap,
      numbers(rows * headDim, seed + i).map((x, at) => x * size(at % headDim, i)),
    )
    kernels.quantize(from, rows, headDim, layout, address, capacity)
    heap.free(from)
    heap.i32.set([address, rows, layoutCode(layout), capacity], (table >>> 2) + i * PAGE_ENTRY)
  })
  return table
}

/** Copies numbers into the heap. */
export function put(heap: Heap, data: Float32Array): number {
  const address = heap.malloc(data.length * 4)
  heap.f32.set(data, address >>> 2)
  return address
}

export function get(heap: Heap, address: number, count: number): Float32Array {
  return heap.f32.slice(address >>> 2, (address >>> 2) + count)
}

export interface Setting {
  headDim: number
  keyDim: number
  group: number
  count: number
  rows: number
  keys: Cut
  values: Cut
  bias: boolean
  logitScale: number
  logWeight: number
  seed: number
}

/** Keys have the values' channels, or others. */
const twoDims = headDims.chain((headDim) =>
  fc.record({ headDim: fc.constant(headDim), keyDim: fc.oneof({ weight: 3, arbitrary: fc.constant(headDim) }, headDims) }),
)

export const settings = (
  most: { rows: number; count: number },
  dims: fc.Arbitrary<Pick<Setting, 'headDim' | 'keyDim'>> = twoDims,
): fc.Arbitrary<Setting> =>
  fc
    .record({
      dims,
      group: fc.integer({ min: 1, max: 5 }),
      count: fc.integer({ min: 1, max: most.count }),
      rows: fc.integer({ min: 0, max: most.rows }),
    })
    .chain(({ dims: { headDim, keyDim }, group, count, rows }) =>
      fc.record({
        headDim: fc.constant(headDim),
        keyDim: fc.constant(keyDim),
        group: fc.constant(group),
        count: fc.constant(count),
        rows: fc.constant(rows),
        keys: cuts(rows, keyDim),
        values: cuts(rows, headDim),
        bias: fc.boolean(),
        logitScale: fc.constantFrom(1, 0.5, 1.3),
        logWeight: fc.constantFrom(0, -0.7, 1.1),
        seed: fc.integer(),
      }),
    )

/** A setting in the heap. */
export function write(kernels: Kernels, setting: Setting): { queries: Queries; rows: Rows } {
  const { headDim, keyDim, group, count, rows, keys, values, bias, logitScale, logWeight, seed } = setting
  const { heap } = kernels
  return {
    queries: { address: put(heap, numbers(group * count * keyDim, seed)), group, count, headDim, keyDim },
    rows: {
      keyTable: writePages(kernels, keys, keyDim),
      keyPages: keys.pages.length,
      valueTable: writePages(kernels, values, headDim),
      valuePages: values.pages.length,
      rows,
      bias: bias && rows > 0 ? put(heap, numbers(rows, seed + 1)) : 0,
      logitScale,
      logWeight,
    },
  }
}

/** The same numbers, in no code: what an output differs by is the codec's own error. */
export function uncoded(setting: Setting): Setting {
  const raw = ({ seed, pages }: Cut): Cut => ({ seed, pages: pages.map((page) => ({ ...page, layout: { kind: 'raw32' } })) })
  return { ...setting, keys: raw(setting.keys), values: raw(setting.values) }
}

/** The root of the mean squared difference. */
export function meanError(actual: Float32Array, expected: Float32Array): number {
  return Math.sqrt(expected.reduce((sum, value, i) => sum + (value - actual[i]) ** 2, 0) / Math.max(1, expected.length))
}

/** Largest difference over the largest expected magnitude; equal infinities and NaNs count as equal. */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  let worst = 0,
    scale = 1e-20
  expected.forEach((value, i) => {
    if (Object.is(value, actual[i]) || value === actual[i]) return
    const off = Math.abs(value - actual[i])
    worst = Math.max(worst, Number.isNaN(off) ? Infinity : off)
    if (Number.isFinite(value)) scale = Math.max(scale, Math.abs(value))
  })
  return worst / scale
}
