import type { Scorer, Selector } from './axes.ts'
import { PlanError } from './errors.ts'
import { topRows } from './top-rows.ts'

const SUM = 'accumulated'

/** What a method asked for in its `needs`, or an error that names it. */
export function observed<T>(value: T | undefined, method: string, what: string): T {
  if (value === undefined) throw new PlanError(`${method} was asked for scores without ${what}: hand over what its \`needs\` name.`)
  return value
}

/**
 * Attention that each row ever received, summed in the column `accumulated` that moves with the row: column sums over the prompt's queries,
 * then each step's row. `group`: the mean of the query heads that read the head, or its first. `method` is named in errors.
 */
export function accumulatedAttention(method: string, group: 'mean' | 'first' = 'mean'): Scorer {
  return {
    needs: { columnSums: true, stepAttention: true },
    moments: ['prefill', 'decode'],
    columns: [{ name: SUM, initial: 0 }],
    score(seen, head) {
      const prefill = seen.moment === 'prefill'
      const received = prefill ? observed(seen.columnSums, method, 'columnSums') : observed(seen.stepAttention, method, 'stepAttention')
      const heads = group === 'first' ? 1 : seen.group
      const sums = head.column(SUM)
      for (let j = 0; j < head.rows; j++) {
        let sum = 0
        for (let g = 0; g < heads; g++) sum += received[g * head.rows + j]
        sums[j] += sum / heads
      }
      // The column goes on living with its rows, so selectors get a copy.
      return sums.slice(0, head.rows)
    },
  }
}

/** The newest `round(rows * recent)` rows, and the highest scores among the older ones: a recent row never takes a heavy one's place. */
export function heavyAndRecent(recent: number): Selector {
  return {
    select(scores, rows) {
      const n = scores.length
      if (n <= rows) return topRows(scores, n)
      const newest = Math.round(rows * recent)
      const kept = new Uint32Array(rows)
      kept.set(topRows(scores.subarray(0, n - newest), rows - newest))
      for (let i = rows - newest; i < rows; i++) kept[i] = n - rows + i
      return kept
    },
  }
}
