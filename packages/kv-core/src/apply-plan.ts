import { PlanError } from './errors.ts'
import type { Head } from './head.ts'
import type { FoldPlan, HeadPlan } from './plan.ts'

/** Throws PlanError unless the plan can be applied: ascending rows in range, at most `budget` of them, folds among kept rows. */
export function checkPlan(plan: HeadPlan, rows: number, budget: number, where: string): void {
  const { keep, fold, storage } = plan
  const fail = (what: string): never => {
    throw new PlanError(`The plan for ${where} ${what}. This is a bug of the method that made it.`)
  }
  if (keep.length > budget && keep.length < rows) fail(`keeps ${keep.length} rows of a budget of ${budget}`)
  for (let i = 0; i < keep.length; i++)
    if (!(keep[i] < rows) || (i > 0 && keep[i] <= keep[i - 1]))
      fail(`keeps row ${keep[i]} at place ${i}: rows must ascend and be fewer than ${rows}`)
  if (storage && storage.length !== keep.length) fail(`names ${storage.length} storage classes for ${keep.length} rows`)
  if (!fold) return
  const { from, into, weights } = fold
  if (from.length !== into.length || from.length !== weights.length) fail('has a fold with parts of different lengths')
  const kept = new Set(keep)
  for (let i = 0; i < from.length; i++) {
    if (!(from[i] < rows) || !kept.has(into[i])) fail(`folds row ${from[i]} into ${into[i]}, which is not kept`)
    if (!Number.isFinite(weights[i])) fail(`folds with weight ${weights[i]}`)
  }
}

/** Folds, then drops: the order matters, since folds read rows that leave. All pages must be in memory if there is a fold. */
export async function applyPlan(head: Head, plan: HeadPlan, headDim: number): Promise<void> {
  if (plan.fold) {
    foldPart(head, 'keys', plan.fold, plan.fold.weights, headDim)
    foldPart(head, 'values', plan.fold, plan.fold.valueWeights ?? plan.fold.weights, headDim)
  }
  await head.retain(plan.keep)
}

function foldPart(head: Head, part: 'keys' | 'values', { from, into }: FoldPlan, weights: Float32Array, headDim: number): void {
  const sums = new Map<number, Float64Array>()
  const rows = head.read(part)
  const starts: number[] = []
  head.segments.reduce((start, segment, i) => (starts[i] = start) + segment[part].rows, 0)
  const segmentOf = (row: number): number => starts.findLastIndex((start) => row >= start)
  for (let i = 0; i < from.length; i++) {
    const source = from[i] * headDim
    let sum = sums.get(into[i])
    if (!sum) sums.set(into[i], (sum = new Float64Array(headDim)))
    for (let d = 0; d < headDim; d++) sum[d] += weights[i] * rows[source + d]
  }
  for (const [row, sum] of sums) {
    const s = segmentOf(row)
    head.segments[s][part].write(row - starts[s], Float32Array.from(sum))
  }
}
