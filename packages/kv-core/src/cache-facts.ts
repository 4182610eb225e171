import { z } from 'zod'
import type { CacheShape } from './shape.ts'

/** Pages alike in a row: their rows, their capacity, how many. */
export type Runs = [number, number, number][]

/** The keys or the values of a segment. `table`: bytes of its page table. */
export interface ListFacts {
  packed: Runs
  raw: Runs
  table: number
}

export interface SegmentFacts {
  storage: number
  /** Names of the codecs of packed keys and values. */
  codecs: [string, string]
  logitScale: number
  logWeight: number
  keys: ListFacts
  values: ListFacts
}

/** `room`: rows for which the columns have memory. */
export interface HeadFacts {
  rows: number
  room: number
  segments: SegmentFacts[]
}

/** What a planner goes on from, by layer. */
export interface PlannerFacts {
  measures: number[]
  /** By head; null if the layer's budget was never asked for. */
  budgets: (number[] | null)[]
  states: Record<string, number>[]
  steps: number[]
  notices: string[]
}

/** What a cache file's metadata holds besides format and version. */
export interface CacheFacts {
  policy: string
  fingerprint: string
  /** As `shapeText` writes it. */
  shape: string
  tokens: number
  columns: string[]
  /** By layer. */
  heads: HeadFacts[][]
  planner: PlannerFacts
  /** The methods' memory: names and lengths. */
  memory: [string, number][]
  /** What the writer says about the file. */
  info: Record<string, string>
  /** How some packed pages are coded, and their bytes before. */
  coding?: { name: string; bytes: number }
}

const count = z.number().int().min(0)
/** JSON has no infinities, and no negative zero: they are kept as text. */
const real = z.union([z.number(), z.enum(['Infinity', '-Infinity', 'NaN', '-0']).transform(Number)])
const runs = z.array(z.tuple([count.min(1), count.min(1), count.min(1)]))
const list = z.strictObject({ packed: runs, raw: runs, table: count })
const segment = z.strictObject({
  storage: count,
  codecs: z.tuple([z.string(), z.string()]),
  logitScale: real,
  logWeight: real,
  keys: list,
  values: list,
})
const head: z.ZodType<HeadFacts> = z.strictObject({ rows: count, room: count, segments: z.array(segment) })
const planner: z.ZodType<PlannerFacts> = z.strictObject({
  measures: z.array(real),
  budgets: z.array(z.array(real.refine((rows) => rows >= 0)).nullable()),
  states: z.array(z.record(z.string(), real)),
  steps: z.array(count),
  notices: z.array(z.string()),
})

/** Facts that are JSON, each a text of the file's metadata. */
export const FACTS: { [Name in Exclude<keyof CacheFacts, 'policy' | 'fingerprint' | 'shape'>]-?: z.ZodType<CacheFacts[Name]> } = {
  tokens: count,
  columns: z.array(z.string()),
  heads: z.array(z.array(head)),
  planner,
  memory: z.array(z.tuple([z.string(), count])),
  info: z.record(z.string(), z.string()),
  coding: z.strictObject({ name: z.string(), bytes: count }).optional(),
}

/** JSON that keeps every number as it is. */
export function factText(value: unknown): string {
  return JSON.stringify(value, (_, x: unknown) => {
    if (typeof x !== 'number') return x
    if (Object.is(x, -0)) return '-0'
    return Number.isFinite(x) ? x : String(x)
  })
}

/** A shape as text, the same for the same shape. */
export function shapeText({ layers, queryHeads, kvHeads, headDim, rope }: CacheShape): string {
  return JSON.stringify({ layers, queryHeads, kvHeads, headDim, rope: sorted(rope) })
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  )
}
