import { topRows, type Selector } from '@kvfold/kv-core'

/** The highest scores, the older row of a tie. If more rows are protected (+Infinity) than may stay, the newest of those. */
export const highestThenNewest: Selector = {
  select(scores, rows) {
    let surplus = -rows
    for (let i = 0; i < scores.length; i++) if (scores[i] === Infinity) surplus++
    if (surplus <= 0) return topRows(scores, rows)
    const kept = new Uint32Array(rows)
    for (let i = scores.length - 1, at = rows; at > 0; i--) if (scores[i] === Infinity) kept[--at] = i
    return kept
  },
}
