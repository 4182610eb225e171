import type { HeadView, Needs } from './axes.ts'
import type { Head } from './head.ts'

/** Keys and values that were read ahead, since pages that are away cannot be read at once. */
export type ReadAhead = Partial<Record<'keys' | 'values', Float32Array>>

/** What a view of this head must read ahead. */
export async function readAhead(head: Head, needs: Needs): Promise<ReadAhead> {
  const ahead: ReadAhead = {}
  for (const part of ['keys', 'values'] as const)
    if (needs[part] && head.segments.some((segment) => segment[part].away)) ahead[part] = await head.load(part)
  return ahead
}

/** One head as methods see it. `seen`: the tokens of the sequence so far. */
export function headView(
  head: Head,
  layer: number,
  index: number,
  headDim: number,
  seen: number,
  needs: Needs,
  ahead: ReadAhead,
): HeadView {
  const rowsOf = (part: 'keys' | 'values'): Float32Array => {
    if (!needs[part]) throw new TypeError(`This method reads ${part} without declaring it: add { ${part}: true } to its needs.`)
    if (ahead[part]) return ahead[part].slice()
    const out = new Float32Array(head.rows * headDim)
    let at = 0
    for (const segment of head.segments) {
      out.set(segment[part].read(), at)
      at += segment[part].rows * headDim
    }
    return out
  }
  return {
    layer,
    head: index,
    rows: head.rows,
    headDim,
    seen,
    positions: head.columns.get('position'),
    column: (name) => head.columns.get(name),
    keys: () => rowsOf('keys'),
    values: () => rowsOf('values'),
    foldable: (row) => {
      const first = head.rows - head.arrivals.keys.rows
      return row - first >= Math.max(head.arrivals.keys.packed, head.arrivals.values.packed)
    },
  }
}
