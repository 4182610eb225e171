import { type ArrayTensor, createKernels, type Kernels, type Layout, layoutBytes, ownHeap, referenceKernels } from '@kvfold/kernels'
import { type CacheShape, type Codec, compose, createRandom, type HeadView, KvCache, type Preset } from '@kvfold/kv-core'
import { expect } from 'vitest'
import { PagePool } from '../../kv-core/src/page.ts'
import { PageList } from '../../kv-core/src/page-list.ts'

/** What comes back of rows that a cache packs: all at once, or `step` by `step`. */
export function packed(
  kernels: Kernels,
  codec: Codec,
  rows: Float32Array,
  headDim: number,
  step: number = rows.length / headDim,
): Float32Array {
  const list = new PageList(kernels, new PagePool(kernels.heap), headDim)
  list.append(rows.length / headDim, (first, count, address) =>
    kernels.heap.f32.set(rows.subarray(first * headDim, (first + count) * headDim), address / 4),
  )
  while (list.packed < list.rows) list.pack(Math.min(step, list.rows - list.packed), codec)
  const out = list.read()
  list.dispose()
  return out
}

/** |a - b| <= rtol |b| + atol, everywhere. */
export function expectClose(a: ArrayLike<number>, b: ArrayLike<number>, rtol: number, atol = 0): void {
  expect(a.length).toBe(b.length)
  for (let i = 0; i < a.length; i++) {
    if (!(Math.abs(a[i] - b[i]) <= rtol * Math.abs(b[i]) + atol)) expect({ i, value: a[i] }).toEqual({ i, value: b[i] })
  }
}

/** What a codec that no kernel reads gives back of rows in one page. */
export function throughCodec(codec: Codec, rows: Float32Array, headDim: number): Float32Array {
  const count = rows.length / headDim
  const shared = new Uint8Array(codec.shared?.(headDim) ?? 0).fill(255)
  const bytes = new Uint8Array(codec.bytes(count, headDim) - shared.length).fill(255)
  codec.encode!(rows, count, headDim, bytes, shared)
  const out = new Float32Array(rows.length)
  codec.decode!(bytes, count, headDim, out, shared)
  return out
}

/** What the kernels make of pages whose channels have factors, any number of rows in each: as a codec that no kernel reads. */
export function channelSeparable(bits: 2 | 4 | 8, groupOf: (headDim: number) => number): Codec {
  const kernels = referenceKernels(ownHeap())
  const { heap } = kernels
  const layoutOf = (headDim: number): Layout => ({ kind: 'affine', bits, axis: 'token', group: groupOf(headDim), factors: true })
  const bytes = (rows: number, headDim: number): number => layoutBytes(layoutOf(headDim), headDim, rows)
  return {
    name: 'separable',
    layout: 'opaque',
    pageRows: () => 64,
    bytes,
    shared: (headDim) => headDim * 2,
    encode(rows, count, headDim, into, shared) {
      const from = heap.malloc(rows.byteLength),
        page = heap.malloc(bytes(count, headDim))
      heap.f32.set(rows, from >>> 2)
      kernels.quantize(from, count, headDim, layoutOf(headDim), page, count)
      const end = page + bytes(count, headDim) - shared.length
      into.set(heap.u8.subarray(page, end))
      shared.set(heap.u8.subarray(end, end + shared.length))
    },
    decode(packedRows, count, headDim, into, shared) {
      const page = heap.malloc(bytes(count, headDim)),
        out = heap.malloc(count * headDim * 4)
      heap.u8.set(packedRows, page)
      heap.u8.set(shared, page + packedRows.length)
      kernels.dequantize(page, count, layoutOf(headDim), 0, count, headDim, out)
      into.set(heap.f32.subarray(out >>> 2, (out >>> 2) + count * headDim))
    },
  }
}

/** [heads][tokens][headDim] as tokens of all heads' channels. */
export function concatenated(x: Float32Array, heads: number, tokens: number): Float32Array {
  const dim = x.length / heads / tokens
  return Float32Array.from(x, (_, i) => x[((Math.floor(i / dim) % heads) * tokens + Math.floor(i / dim / heads)) * dim + (i % dim)])
}

const nothing = (): never => {
  throw new Error('This method was given nothing to read.')
}

/** A head of which a method sees rows, columns that come into being as they are asked for, and what else is handed over. */
export function headOf(rows: number, more: Partial<HeadView> = {}, columns: Record<string, Float32Array> = {}): HeadView {
  return {
    layer: 0,
    head: 0,
    rows,
    headDim: 16,
    seen: rows,
    moved: 0,
    positions: Float32Array.from({ length: rows }, (_, i) => i),
    column: (name) => (columns[name] ??= new Float32Array(rows)),
    keys: nothing,
    values: nothing,
    logits: nothing,
    attention: nothing,
    rope: 'external',
    memory: {},
    foldable: () => true,
    ...more,
  }
}

/**
 * Two caches of random rows that are fed alike, one of them whole; `attend` gives the mean and the largest difference of their outputs.
 * `large` times as large are the numbers of channel 5 of all keys.
 */
export function besideFull(shape: CacheShape, presets: Preset[], large = 1) {
  const random = createRandom(7)
  const tensor = (heads: number, n: number, factor = 1): ArrayTensor => ({
    shape: [heads, n, shape.headDim],
    dtype: 'float32',
    data: Float32Array.from({ length: heads * n * shape.headDim }, (_, i) => (random() * 4 - 2) * (i % shape.headDim === 5 ? factor : 1)),
  })
  const [cache, full] = [compose(...presets), compose()].map((policy) => new KvCache(shape, { policy, kernels: createKernels() }))
  return {
    cache,
    async attend(n: number): Promise<{ mean: number; most: number }> {
      const input = { q: tensor(shape.queryHeads, n), k: tensor(shape.kvHeads, n, large), v: tensor(shape.kvHeads, n) }
      const [a, b] = [(await cache.layer(0).attend(input)) as ArrayTensor, (await full.layer(0).attend(input)) as ArrayTensor]
      const off = a.data.map((x, i) => Math.abs(x - b.data[i]))
      return { mean: off.reduce((sum, x) => sum + x, 0) / off.length, most: off.reduce((most, x) => Math.max(most, x), 0) }
    },
    dispose: () => Promise.all([cache.dispose(), full.dispose()]),
  }
}
