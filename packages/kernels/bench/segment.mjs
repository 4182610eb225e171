import { layoutBytes, layoutCode, PAGE_ENTRY, softmaxStateBytes } from '@kvfold/kernels'

export const HEAD = 64
/** Query heads to a KV head. */
export const GROUP = 3
const PAGE_ROWS = 64

/** Float32 numbers between -1 and 1 in the heap. */
export function random(kernels, count) {
  const address = kernels.heap.malloc(count * 4)
  const into = kernels.heap.f32.subarray(address >>> 2, (address >>> 2) + count)
  for (let i = 0; i < count; i++) into[i] = Math.random() * 2 - 1
  return address
}

/** A table of pages of 64 rows; a multiple of 64 rows. */
function pages(kernels, rows, layout) {
  const { heap } = kernels
  const count = rows / PAGE_ROWS
  const table = heap.malloc(count * PAGE_ENTRY * 4)
  const from = random(kernels, PAGE_ROWS * HEAD)
  for (let i = 0; i < count; i++) {
    const page = heap.malloc(layoutBytes(layout, HEAD, PAGE_ROWS))
    kernels.quantize(from, PAGE_ROWS, HEAD, layout, page, PAGE_ROWS)
    heap.i32.set([page, PAGE_ROWS, layoutCode(layout), PAGE_ROWS], (table >>> 2) + i * PAGE_ENTRY)
  }
  heap.free(from)
  return table
}

/** One head's segment: float32 for 32 bits, float16 for 16, else values per token in groups of 32, and keys likewise or per channel. */
export function segment(kernels, rows, bits, keys = 'channel') {
  const layout = (axis) =>
    bits >= 16 ? { kind: `raw${bits}` } : { kind: 'affine', bits, axis, group: axis === 'channel' ? PAGE_ROWS : 32 }
  const count = rows / PAGE_ROWS
  return {
    keyTable: pages(kernels, rows, layout(keys)),
    keyPages: count,
    valueTable: pages(kernels, rows, layout('token')),
    valuePages: count,
    rows,
    bias: 0,
    logitScale: 1,
    logWeight: 0,
  }
}

/** Gives back all pages and both tables of a segment. */
export function release(kernels, { keyTable, valueTable, keyPages }) {
  for (const table of [keyTable, valueTable]) {
    for (let i = 0; i < keyPages; i++) kernels.heap.free(kernels.heap.i32[(table >>> 2) + i * PAGE_ENTRY] >>> 0)
    kernels.heap.free(table)
  }
}

/** Queries of one head, with room for their softmax state and their output. */
export function queriesOf(kernels, group, count) {
  const queries = { address: random(kernels, group * count * HEAD), group, count, headDim: HEAD }
  return { queries, state: kernels.heap.malloc(softmaxStateBytes(queries)), out: kernels.heap.malloc(group * count * HEAD * 4) }
}
