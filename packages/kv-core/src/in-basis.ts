import type { Basis, Encoder, LayerRows } from './axes.ts'
import type { Head } from './head.ts'
import type { Workplace } from './planner.ts'

/** Packs what is due of a layer whose rows are stored in a basis. Every head holds the same rows. */
export function packInBasis(
  { kernels, pool, rotary, shape }: Workplace,
  basis: Basis,
  layer: number,
  heads: readonly Head[],
  encoder: Encoder,
): void {
  const [head] = heads
  const first = head.arrivals.keys.packed
  const count = head.due(encoder)
  if (count === 0) return
  const width = count * shape.headDim * 4
  const bytes = 2 * heads.length * width
  const scratch = pool.malloc(bytes)
  const rows = rowsAt(scratch, width, { layer, first, count }, heads.length)
  try {
    decode(rows, heads)
    for (const keys of rows.keys) rotary!.turnRows(kernels, keys, positionsOf(head, first, count), true)
    basis.store(rows)
    heads.forEach(({ arrivals, classes }, h) => {
      const copy = (from: number) => (address: number) => kernels.heap.u8.copyWithin(address, from, from + width)
      arrivals.keys.pack(count, classes[0].keys, copy(rows.keys[h]))
      arrivals.values.pack(count, classes[0].values, copy(rows.values[h]))
    })
    if (!basis.stored) return
    decode(rows, heads)
    basis.stored(rows)
  } finally {
    pool.free(scratch, bytes)
  }
}

/** Unpacks a layer for one call: its heads then show keys and values in place of what is packed. Returns what takes that back. */
export async function restoreLayer(
  { kernels, pool, rotary, shape }: Workplace,
  basis: Basis,
  layer: number,
  heads: readonly Head[],
): Promise<() => void> {
  const [head] = heads
  const count = head.arrivals.keys.packed
  if (count === 0) return () => {}
  const width = count * shape.headDim * 4
  const bytes = 2 * heads.length * width
  const scratch = pool.malloc(bytes)
  const release = (): void => {
    for (const each of heads) each.restored = undefined
    pool.free(scratch, bytes)
  }
  try {
    const rows = rowsAt(scratch, width, { layer, first: 0, count }, heads.length)
    for (const [h, { arrivals }] of heads.entries()) {
      await arrivals.keys.load(0, count, rows.keys[h])
      await arrivals.values.load(0, count, rows.values[h])
    }
    basis.restore(rows)
    for (const [h, each] of heads.entries()) {
      rotary!.turnRows(kernels, rows.keys[h], positionsOf(each, 0, count), false)
      each.restored = { count, keys: rows.keys[h], values: rows.values[h] }
    }
    return release
  } catch (error) {
    release()
    throw error
  }
}

function decode({ first, count, keys, values }: LayerRows, heads: readonly Head[]): void {
  for (const [h, { arrivals }] of heads.entries()) {
    arrivals.keys.decodeRows(first, count, keys[h])
    arrivals.values.decodeRows(first, count, values[h])
  }
}

function rowsAt(scratch: number, width: number, rows: Omit<LayerRows, 'keys' | 'values'>, kvHeads: number): LayerRows {
  const parts = Array.from({ length: 2 * kvHeads }, (_, i) => scratch + i * width)
  return { ...rows, keys: parts.slice(0, kvHeads), values: parts.slice(kvHeads) }
}

function positionsOf(head: Head, first: number, count: number): Float32Array {
  return head.columns.get('position').subarray(first, first + count)
}
