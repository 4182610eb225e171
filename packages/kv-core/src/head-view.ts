import type { Kernels } from '@kvfold/kernels'
import type { HeadView, Needs, SequenceMemory } from './axes.ts'
import type { Head } from './head.ts'
import type { PagePool } from './page.ts'
import type { CacheShape } from './shape.ts'

/** Keys and values that were read ahead, since pages that are away cannot be read at once. */
export type ReadAhead = Partial<Record<'keys' | 'values', Float32Array>>

/** What a view of this head must read ahead. */
export async function readAhead(head: Head, needs: Needs): Promise<ReadAhead> {
  const ahead: ReadAhead = {}
  for (const part of ['keys', 'values'] as const)
    if (needs[part] && head.segments.some((segment) => segment[part].away)) ahead[part] = await head.load(part)
  return ahead
}

/** What a view shows: `index` is the head's number in its layer, `seen` the tokens of the sequence so far. */
export interface Viewed {
  head: Head
  layer: number
  index: number
  shape: CacheShape
  seen: number
  needs: Needs
  kernels: Kernels
  pool: PagePool
  memory: SequenceMemory
  ahead: ReadAhead
}

/** One head as methods see it. */
export function headView({ head, layer, index, shape, seen, needs, kernels, pool, memory, ahead }: Viewed): HeadView {
  const { headDim, rope } = shape
  const rowsOf = (part: 'keys' | 'values'): Float32Array => {
    if (!needs[part]) throw new TypeError(`This method reads ${part} without declaring it: add { ${part}: true } to its needs.`)
    if (ahead[part]) return ahead[part].slice()
    return head.read(part)
  }
  /** Any queries' logits over all rows, or their softmax: [count][rows]. */
  const look = (queries: Float32Array, count: number, softmax: boolean): Float32Array => {
    const { rows } = head
    const bytes = count * headDim * 4,
      logitBytes = count * rows * 4
    const logits = pool.malloc(logitBytes)
    if (head.segments.every((segment) => segment.keys.direct)) {
      const address = pool.malloc(bytes)
      kernels.heap.f32.set(queries.subarray(0, count * headDim), address >> 2)
      head.visitKeys((keys, start) =>
        kernels.logits({ address, group: 1, count, headDim }, keys, -1, { address: logits + start * 4, stride: rows }),
      )
      pool.free(address, bytes)
    } else kernels.heap.f32.set(plainLogits(queries, count, rowsOf('keys'), rows, headDim), logits >> 2)
    if (softmax) kernels.softmax(logits, count, rows, rows)
    const out = kernels.heap.f32.slice(logits >> 2, (logits + logitBytes) >> 2)
    pool.free(logits, logitBytes)
    return out
  }
  return {
    layer,
    head: index,
    rows: head.rows,
    headDim,
    seen,
    rope,
    memory,
    moved: head.rows - head.arrivals.keys.rows,
    positions: head.columns.get('position'),
    column: (name) => head.columns.get(name),
    keys: () => rowsOf('keys'),
    values: () => rowsOf('values'),
    logits: (queries, count) => look(queries, count, false),
    attention: (queries, count) => look(queries, count, true),
    foldable: (row) => {
      const first = head.rows - head.arrivals.keys.rows
      return row - first >= Math.max(head.arrivals.keys.packed, head.arrivals.values.packed)
    },
  }
}

/** For keys that were away. */
function plainLogits(queries: Float32Array, count: number, keys: Float32Array, rows: number, headDim: number): Float32Array {
  const out = new Float32Array(count * rows)
  const scale = 1 / Math.sqrt(headDim)
  for (let i = 0; i < count; i++) {
    for (let row = 0; row < rows; row++) {
      let dot = 0
      for (let c = 0; c < headDim; c++) dot += queries[i * headDim + c] * keys[row * headDim + c]
      out[i * rows + row] = dot * scale
    }
  }
  return out
}
