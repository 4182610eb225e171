import { z } from 'zod'
import type { CacheShape } from './shape.ts'

/** JSON has no infinities, and no negative zero: they are kept as text. */
const SPECIAL = ['Infinity', '-Infinity', 'NaN', '-0'] as const

const count = z.number().int().min(0)
const real = z.union([z.number(), z.enum(SPECIAL).transform(Number)])

/** Pages alike in a row: their rows, their capacity, how many. */
const runs = z.array(z.tuple([count.min(1), count.min(1), count.min(1)]))
const list = z.strictObject({ packed: runs, raw: runs, table: count })
const segment = z.strictObject({
  storage: count,
  /** Names of the codecs of packed keys and values. */
  codecs: z.tuple([z.string(), z.string()]),
  logitScale: real,
  logWeight: real,
  keys: list,
  values: list,
})
/** `room`: rows for which the columns have memory. */
const head = z.strictObject({ rows: count, room: count, segments: z.array(segment) })

const planner = z.strictObject({
  measures: z.array(real),
  /** By layer; null if that layer's budget was never asked for. */
  budgets: z.array(z.array(real.refine((rows) => rows >= 0)).nullable()),
  states: z.array(z.record(z.string(), real)),
  steps: z.array(count),
  notices: z.array(z.string()),
})

/** The facts of a saved cache, each a JSON text of the file's metadata. */
export const FACTS = {
  tokens: count,
  columns: z.array(z.string()),
  heads: z.array(z.array(head)),
  planner,
  /** The methods' memory: names and lengths. */
  memory: z.array(z.tuple([z.string(), count])),
  /** What the writer says about the file. */
  info: z.record(z.string(), z.string()),
}

/** What a cache file's metadata holds besides format and version. */
export interface CacheFacts {
  policy: string
  fingerprint: string
  /** As `shapeText` writes it. */
  shape: string
  tokens: z.output<typeof count>
  columns: string[]
  heads: HeadFacts[][]
  planner: PlannerFacts
  memory: [string, number][]
  info: Record<string, string>
}

export type Runs = z.output<typeof runs>
export type ListFacts = z.output<typeof list>
export type HeadFacts = z.output<typeof head>
export type PlannerFacts = z.output<typeof planner>

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
