import type { Codec, StorageClass } from './axes.ts'
import type { CacheFacts, ListFacts, Runs } from './cache-facts.ts'
import { tensorBytes, type CacheTensor } from './cache-header.ts'
import { PAGE_ROWS, raw32 } from './codecs.ts'
import { pageRun, type PageRun } from './page-coding.ts'

/** How a head's rows are stored. */
export type ClassesOf = (layer: number, head: number) => readonly StorageClass[]

/** What a tensor of a cache file holds. */
export type Slot = { tensor: CacheTensor } & (
  | { kind: 'columns'; layer: number; head: number }
  | PageSlot
  | { kind: 'memory'; name: string }
  | { kind: 'sums' }
)

/** Pages of one list, packed or not. */
export interface PageSlot {
  kind: 'pages'
  layer: number
  head: number
  segment: number
  part: 'keys' | 'values'
  codec: Codec
  runs: Runs
  /** Of the pages, which is more than the tensor's if they are coded. */
  bytes: number
  coded: boolean
}

/**
 * The tensors of a cache with these facts, in the file's order: layer by layer, then what methods remember, then checksums.
 * `coded`: the sizes of those that are coded, by name.
 */
export function slotsOf(facts: CacheFacts, classesOf: ClassesOf, headDim: number, coded: ReadonlyMap<string, number> = new Map()): Slot[] {
  const slots: Slot[] = []
  facts.heads.forEach((heads, layer) => {
    heads.forEach(({ rows, segments }, head) => {
      const name = `layer${layer}.head${head}`
      const columns: CacheTensor = { name: `${name}.columns`, dtype: 'F32', shape: [facts.columns.length, rows] }
      slots.push({ kind: 'columns', layer, head, tensor: columns })
      segments.forEach(({ storage, keys, values }, segment) => {
        for (const [part, { packed, raw }] of [
          ['keys', keys],
          ['values', values],
        ] as const) {
          const at = { kind: 'pages', layer, head, segment, part } as const
          const where = `${name}.segment${segment}.${part}`
          if (packed.length > 0) {
            const codec = classesOf(layer, head)[storage][part]
            const bytes = packed.reduce((sum, [rows, , count]) => sum + codec.bytes(rows, headDim) * count, 0)
            const size = coded.get(`${where}.coded`)
            const tensor: CacheTensor = { name: `${where}.${size === undefined ? 'packed' : 'coded'}`, dtype: 'U8', shape: [size ?? bytes] }
            slots.push({ ...at, codec, runs: packed, bytes, coded: size !== undefined, tensor })
          }
          if (raw.length > 0) {
            const tensor: CacheTensor = { name: `${where}.raw`, dtype: 'F32', shape: [rowsOf(raw), headDim] }
            slots.push({ ...at, codec: raw32, runs: raw, bytes: tensorBytes(tensor), coded: false, tensor })
          }
        }
      })
    })
  })
  facts.memory.forEach(([name, length], i) =>
    slots.push({ kind: 'memory', name, tensor: { name: `memory${i}`, dtype: 'F32', shape: [length] } }),
  )
  // One for each tensor, and one for these.
  slots.push({ kind: 'sums', tensor: { name: 'checksums', dtype: 'U32', shape: [slots.length + 1] } })
  return slots
}

/** Bytes of what is coded, before it was. */
export function plainBytes(slots: readonly Slot[]): number {
  return slots.reduce((sum, slot) => sum + (slot.kind === 'pages' && slot.coded ? slot.bytes : 0), 0)
}

/** How the pages of a list follow each other in its tensor. */
export function slotPages({ codec, runs }: PageSlot, headDim: number): PageRun {
  const rows = runs.flatMap(([rows, , count]) => Array.from({ length: count }, () => rows))
  return pageRun(codec, headDim, rows)
}

/** Rows of runs of pages. */
export function rowsOf(runs: Runs): number {
  return runs.reduce((sum, [rows, , count]) => sum + rows * count, 0)
}

/** Rows that runs of pages have room for. */
function roomOf(runs: Runs): number {
  return runs.reduce((sum, [, capacity, count]) => sum + capacity * count, 0)
}

/** What is wrong with a list of pages; undefined if nothing is. */
export function listProblem({ packed, raw }: ListFacts, codec: Codec, headDim: number): string | undefined {
  if (packed.length > 0 && codec === raw32) return 'it has packed pages, and its class packs none'
  for (const [runs, most] of [
    [packed, packed.length > 0 ? codec.pageRows(headDim) : 0],
    [raw, PAGE_ROWS],
  ] as const) {
    if (runs.some(([rows, capacity]) => rows > capacity || capacity > most))
      return `it has a page of more than ${most} rows, or of more than it has room for`
    // Pages are allocated in steps of eight, those that are not full lie between full ones, and only the last may have grown ahead of its rows.
    if (roomOf(runs) > 2 * rowsOf(runs) + PAGE_ROWS) return 'its pages are mostly empty'
  }
  return undefined
}
