import type { Blocks, Queries } from '@kvfold/kernels'
import type { Head } from './head.ts'
import type { Shared } from './layer.ts'

/** A block list in the heap. */
export interface HeapBlocks extends Blocks {
  free(): void
}

/** Asks the policy which blocks a prompt's queries look at. Undefined: dense, also where rows cannot be read in one piece. */
export function prefillBlocks(
  shared: Shared,
  head: Head,
  layer: number,
  index: number,
  queries: Queries,
  base: number,
): HeapBlocks | undefined {
  const { policy, kernels, pool } = shared
  if (!policy.attention || head.segments.length > 1 || !head.direct) return undefined
  const { group, count, headDim, address } = queries
  const size = group * count * headDim
  const list = policy.attention.blocks({
    layer,
    head: index,
    group,
    count,
    rows: head.rows,
    headDim,
    queries: kernels.heap.f32.subarray(address >> 2, (address >> 2) + size),
    keys: () => head.read('keys'),
    lastLogits: (window) => lastLogits(shared, head, queries, base, Math.min(window, count)),
  })
  if (!list) return undefined
  const bytes = list.offsets.byteLength + list.indices.byteLength
  const offsets = pool.malloc(bytes)
  kernels.heap.i32.set(list.offsets, offsets >> 2)
  const indices = offsets + list.offsets.byteLength
  kernels.heap.i32.set(list.indices, indices >> 2)
  return { size: list.size, offsets, indices, free: () => pool.free(offsets, bytes) }
}

function lastLogits({ kernels, pool }: Shared, head: Head, queries: Queries, base: number, window: number): Float32Array {
  const { group, count, headDim } = queries
  const queryBytes = group * window * headDim * 4,
    logitBytes = group * window * head.rows * 4
  const address = pool.malloc(queryBytes),
    logits = pool.malloc(logitBytes)
  const { u8 } = kernels.heap
  for (let g = 0; g < group; g++) {
    const end = queries.address + (g + 1) * count * headDim * 4
    u8.copyWithin(address + g * window * headDim * 4, end - window * headDim * 4, end)
  }
  void head.visit(base + count - window, 0, ({ rows, start, causal }) =>
    kernels.logits({ address, group, count: window, headDim }, rows, causal, { address: logits + start * 4, stride: head.rows }),
  )
  const out = kernels.heap.f32.slice(logits >> 2, (logits + logitBytes) >> 2)
  pool.free(address, queryBytes)
  pool.free(logits, logitBytes)
  return out
}
