import { budgetParam, defineMethod, topRows, type Budgeter, type BudgetSize, type Method } from '@kvfold/kv-core'
import { z } from 'zod'
import { snapkv } from './snapkv.ts'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  window: z.ZodDefault<z.ZodNumber>
  safeguard: z.ZodDefault<z.ZodNumber>
  normalize: z.ZodDefault<z.ZodBoolean>
}> = z.object({
  budget: budgetParam.optional(),
  window: z.number().int().min(1).default(32).describe('queries that vote, of the scores that come along'),
  safeguard: z.number().min(0).max(1).default(0.2).describe('share of the budget that every head has for certain'),
  normalize: z.boolean().default(true).describe("weigh a head's scores by the share that its best rows hold"),
})

/**
 * Ada-KV: Optimizing KV Cache Eviction by Adaptive Budget Allocation (arXiv 2407.11550): the heads of a layer share its budget. The best
 * rows of all heads together are counted head by head; a head gets its count, drawn towards the mean by `safeguard`. Heads hold different
 * numbers of rows, and as many bytes. The budget is the mean over heads. Brings SnapKV's scores along (same window, kernel 7, max pooling)
 * unless another preset decides them; any scorer works.
 *
 * With base = budget - protected rows and H heads, c_h is head h's part of the top H base scores; it keeps round(c_h (1 - safeguard) +
 * floor(base safeguard)) and its protected rows. Defaults as the authors' and KVCache-Factory's code: 2048 rows, window 32, safeguard
 * 0.2, normalised (a head's scores times the share of its sum in its best `base` rows). Rounding may add rows up to the number of heads;
 * what that puts above the budget comes off the largest heads, which the code does not do.
 */
export const adakv: Method<typeof params> = defineMethod({
  name: 'adakv',
  axes: ['budget'],
  paper: { title: 'Ada-KV: Optimizing KV Cache Eviction by Adaptive Budget Allocation', arxiv: '2407.11550', year: 2024 },
  summary: 'The heads of a layer share its budget by where the best rows are.',
  params,
  create: ({ budget, window, safeguard, normalize }) => {
    const { score } = snapkv({ window, kernel: 7, pooling: 'max' })
    return { budget: adaptive(budget ?? { tokens: 2048 }, safeguard, normalize), fallback: { score } }
  },
})

function adaptive(size: BudgetSize, safeguard: number, normalize: boolean): Budgeter {
  return { size, allocate: (seen, { rows }) => seen.map(({ scores }) => shareHeads(scores, rows, safeguard, normalize)) }
}

/** Rows per head. */
export function shareHeads(scores: readonly Float32Array[], rows: number, safeguard: number, normalize: boolean): number[] {
  const heads = scores.length
  const kept = scores.map((head) => head.reduce((count, score) => count + (score === Infinity ? 1 : 0), 0))
  const base = rows - Math.max(...kept)
  if (base <= 0 || scores.every((head) => head.length <= rows)) return scores.map(() => rows)
  const weighed = scores.map((head) => {
    const open = head.map((score) => (score === Infinity ? -Infinity : score))
    return normalize ? weigh(open, base) : open
  })
  const all = new Float32Array(weighed.reduce((sum, head) => sum + head.length, 0))
  const starts: number[] = []
  weighed.reduce((start, head, h) => {
    starts[h] = start
    all.set(head, start)
    return start + head.length
  }, 0)
  const counts = scores.map(() => 0)
  for (const row of topRows(all, heads * base)) counts[starts.findLastIndex((start) => row >= start)]++
  const shares = counts.map((count, h) => kept[h] + halfToEven(count * (1 - safeguard) + Math.floor(base * safeguard)))
  for (let over = shares.reduce((a, b) => a + b, 0) - heads * rows; over > 0; over--) shares[shares.indexOf(Math.max(...shares))]--
  return shares
}

/** A head's scores times the share of their sum that its best `base` rows hold. */
function weigh(scores: Float32Array, base: number): Float32Array {
  const sum = (some: Float32Array): number => some.reduce((total, score) => total + (score === -Infinity ? 0 : score), 0)
  const best = sum(Float32Array.from(topRows(scores, base), (row) => scores[row]))
  const share = best / (sum(scores) || 1)
  return scores.map((score) => score * share)
}

function halfToEven(value: number): number {
  const floor = Math.floor(value)
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value)
}
