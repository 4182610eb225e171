import type { Codec } from './axes.ts'
import type { Head } from './head.ts'
import type { PageList } from './page-list.ts'

/** How the keys or the values of some rows are stored. */
export interface PartStorage {
  codec: string
  /** Bits that a number takes in a full page, with its share of scales. */
  bits: number
  /** The tier that they are on; absent while they are in memory. */
  tier?: string
}

/** Rows that follow each other in a head and are stored alike. */
export interface HeldRun {
  rows: number
  keys: PartStorage
  values: PartStorage
}

/** The rows of one head. */
export interface HeldRows {
  /** Of each row: its token's place in the sequence, or under a policy that counts only what is held, its own place. */
  positions: Float32Array
  /** In row order, as many rows together as there are positions. */
  runs: HeldRun[]
}

/** What a head holds, without its numbers. */
export function heldRows(head: Head, headDim: number, tier: string | undefined): HeldRows {
  const runs: HeldRun[] = []
  for (const segment of head.segments) {
    const keys = partRuns(segment.keys, headDim, tier),
      values = partRuns(segment.values, headDim, tier)
    // Pages of keys and of values end at different rows.
    for (let k = 0, v = 0; k < keys.length && v < values.length;) {
      const rows = Math.min(keys[k].rows, values[v].rows)
      runs.push({ rows, keys: keys[k].storage, values: values[v].storage })
      if ((keys[k].rows -= rows) === 0) k++
      if ((values[v].rows -= rows) === 0) v++
    }
  }
  return { positions: head.columns.get('position').slice(), runs }
}

function partRuns(list: PageList, headDim: number, tier: string | undefined): { rows: number; storage: PartStorage }[] {
  const runs: { rows: number; storage: PartStorage; codec: Codec; away: boolean }[] = []
  for (const { codec, rows, address } of list.pages) {
    const away = address === 0
    const last = runs.at(-1)
    if (last?.codec === codec && last.away === away) last.rows += rows
    else {
      const full = codec.pageRows(headDim)
      const bits = (codec.bytes(full, headDim) * 8) / (full * headDim)
      runs.push({ rows, codec, away, storage: { codec: codec.name, bits, ...(away && { tier }) } })
    }
  }
  return runs
}
