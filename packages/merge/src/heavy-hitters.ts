import { protectSinks, topRows, type Scorer, type Selector } from '@kvfold/kv-core'
import { observed } from './observed.ts'

const SUM = 'accumulated'

/** Attention that each row ever received (group mean), summed in a column that moves with the rows; the first `sinks` tokens stay. */
export function accumulated(sinks: number): Scorer {
  return {
    needs: { columnSums: true, stepAttention: true },
    moments: ['prefill', 'decode'],
    columns: [{ name: SUM, initial: 0 }],
    score(seen, head) {
      const prefill = seen.moment === 'prefill'
      const received = prefill ? observed(seen.columnSums, 'd2o', 'columnSums') : observed(seen.stepAttention, 'd2o', 'stepAttention')
      const sums = head.column(SUM)
      for (let j = 0; j < head.rows; j++) {
        let sum = 0
        for (let g = 0; g < seen.group; g++) sum += received[g * head.rows + j]
        sums[j] += sum / seen.group
      }
      return protectSinks(sums.slice(0, head.rows), sinks, head.positions)
    },
  }
}

/** The newest `round(rows * recent)` rows, and the highest scores among the older ones. */
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
