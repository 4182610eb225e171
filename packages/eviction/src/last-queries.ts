import { observed, type Observation } from '@kvfold/kv-core'

/**
 * Attention of the last `window` queries, [group][window][rows]: of a longer one, asked for by a method composed with this one, only
 * its end; of a shorter prompt, all.
 */
export function lastQueries(seen: Observation, method: string, window: number, rows: number): { data: Float32Array; window: number } {
  const all = observed(seen.windowAttention, method, 'windowAttention')
  if (all.window <= window) return all
  const data = new Float32Array(seen.group * window * rows)
  for (let g = 0; g < seen.group; g++) {
    const end = (g + 1) * all.window * rows
    data.set(all.data.subarray(end - window * rows, end), g * window * rows)
  }
  return { data, window }
}
