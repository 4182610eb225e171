import type { Selector } from '@kvfold/kv-core'

/**
 * Keeps whole chunks of `size` neighbouring rows, those with the highest mean score, as many as fit; protected rows (+Infinity) first. The
 * rows between protected ones are cut into chunks from the left; the last chunk may be short, and competes as an equal.
 */
export function wholeChunks(size: number): Selector {
  return {
    select(scores, rows) {
      const kept: number[] = []
      const open: number[] = []
      scores.forEach((score, row) => (score === Infinity ? kept : open).push(row))
      if (kept.length >= rows) return Uint32Array.from(kept.slice(kept.length - rows))
      const chunks = Array.from({ length: Math.ceil(open.length / size) }, (_, i) => open.slice(i * size, (i + 1) * size))
      const means = chunks.map((chunk) => chunk.reduce((sum, row) => sum + (scores[row] || 0), 0) / chunk.length)
      const order = chunks.map((_, i) => i).sort((a, b) => means[b] - means[a] || a - b)
      for (const i of order) {
        if (kept.length + chunks[i].length > rows) break
        kept.push(...chunks[i])
      }
      return Uint32Array.from(kept).sort()
    },
  }
}
