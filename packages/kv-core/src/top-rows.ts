import type { Selector } from './axes.ts'

/** The `count` rows with the highest scores, ascending; the older row of a tie stays; NaN counts as the lowest. */
export function topRows(scores: Float32Array, count: number): Uint32Array {
  const n = scores.length
  if (count >= n) return Uint32Array.from({ length: n }, (_, i) => i)
  if (count <= 0) return new Uint32Array(0)
  const sorted = Float32Array.from(scores, (s) => (s === s ? s : -Infinity)).sort()
  const threshold = sorted[n - count]
  // Rows above the threshold stay; of those at it, the oldest.
  let above = 0
  for (let i = 0; i < n; i++) if (scores[i] > threshold) above++
  let ties = count - above
  const kept = new Uint32Array(count)
  let at = 0
  for (let i = 0; i < n && at < count; i++) {
    const score = scores[i] === scores[i] ? scores[i] : -Infinity
    if (score > threshold) kept[at++] = i
    else if (score === threshold && ties > 0) {
      kept[at++] = i
      ties--
    }
  }
  return kept
}

/** The default selector: the highest scores, the older row of a tie; if more rows are protected (+Infinity) than may stay, the newest of those. */
export const highestScores: Selector = {
  select(scores, rows) {
    let surplus = -rows
    for (let i = 0; i < scores.length; i++) if (scores[i] === Infinity) surplus++
    if (surplus <= 0) return topRows(scores, rows)
    const kept = new Uint32Array(rows)
    for (let i = scores.length - 1, at = rows; at > 0; i--) if (scores[i] === Infinity) kept[--at] = i
    return kept
  },
}

/** Sets the scores of the last `window` rows to +Infinity, so that they stay. */
export function protectRecent(scores: Float32Array, window: number): Float32Array {
  return scores.fill(Infinity, Math.max(0, scores.length - window))
}

/** Sets the scores of the first `sinks` positions to +Infinity, as far as they are still there. */
export function protectSinks(scores: Float32Array, sinks: number, positions: Float32Array): Float32Array {
  // Not only at the front: an encoder's classes put rows out of order.
  for (let i = 0; i < scores.length; i++) if (positions[i] < sinks) scores[i] = Infinity
  return scores
}
