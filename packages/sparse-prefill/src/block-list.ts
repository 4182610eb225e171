import type { BlockList } from '@kvfold/kv-core'

/** What a block list is for: `count` queries, the last of which sees all `rows` rows, in each of `group` query heads. */
export interface BlockGrid {
  block: number
  group: number
  count: number
  rows: number
}

/** The blocks that a query head chooses, in the grid of row blocks: row blocks cut rows, query blocks cut queries. */
export interface Chosen {
  readonly queryBlocks: number
  /** The newest row block that some query of this query block sees. */
  lastBlock(queryBlock: number): number
  /** All queries look at this row block. */
  column(block: number): void
  /** All queries look this many row blocks back. */
  diagonal(offset: number): void
  /** A query block looks at a row block. */
  pair(queryBlock: number, block: number): void
}

/**
 * Builds a block list from what `choose` marks, head by head. Blocks above the diagonal are left out. If the chunk does not start at a
 * block of rows, a query block lies across two of them: a diagonal marks the blocks of both.
 */
export function blockList(grid: BlockGrid, choose: (head: number, chosen: Chosen) => void): BlockList {
  const { block, group, count, rows } = grid
  const queryBlocks = Math.ceil(count / block)
  const blocks = Math.ceil(rows / block)
  const start = rows - count
  const firstBlock = (r: number): number => Math.floor((start + r * block) / block)
  const lastBlock = (r: number): number => Math.floor((start + Math.min(count, (r + 1) * block) - 1) / block)

  const offsets = new Int32Array(group * (queryBlocks + 1))
  const marked = new Uint8Array(queryBlocks * blocks)
  const pair = (r: number, c: number): void => {
    if (c >= 0 && c <= lastBlock(r)) marked[r * blocks + c] = 1
  }
  const each = (mark: (r: number) => void): void => {
    for (let r = 0; r < queryBlocks; r++) mark(r)
  }
  const chosen: Chosen = {
    queryBlocks,
    lastBlock,
    pair,
    column: (c) => each((r) => pair(r, c)),
    diagonal: (offset) =>
      each((r) => {
        pair(r, firstBlock(r) - offset)
        pair(r, lastBlock(r) - offset)
      }),
  }
  const indices: number[] = []
  for (let head = 0; head < group; head++) {
    marked.fill(0)
    choose(head, chosen)
    for (let r = 0; r < queryBlocks; r++) {
      offsets[head * (queryBlocks + 1) + r] = indices.length
      for (let c = 0; c < blocks; c++) if (marked[r * blocks + c]) indices.push(c)
    }
    offsets[head * (queryBlocks + 1) + queryBlocks] = indices.length
  }
  return { size: block, offsets, indices: Int32Array.from(indices) }
}

/**
 * Blocks looked at, as a share of all blocks of queries times rows: what the paper reports. Full causal attention of a whole prompt
 * has about 0.5; dense (undefined) counts as 1, as in the authors' code.
 */
export function activeBlockRatio(list: BlockList | undefined, view: { group: number; count: number; rows: number }): number {
  if (!list) return 1
  return list.indices.length / (view.group * Math.ceil(view.count / list.size) * Math.ceil(view.rows / list.size))
}
