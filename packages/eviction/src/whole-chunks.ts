import type { HeadView, Selector } from '@kvfold/kv-core'

/**
 * Keeps whole chunks of `size` neighbouring rows, those with the highest mean score, as many as fit; protected rows (+Infinity) first. The
 * rows between protected ones are cut into chunks from the left; the last chunk may be short, and competes as an equal. All heads of a
 * layer rank the same chunks, by the mean of their scores, where they hold the same rows.
 */
export function wholeChunks(size: number): Selector {
  const selectLayer = (scores: readonly Float32Array[], rows: readonly number[], heads: readonly HeadView[]): Uint32Array[] => {
    const together = heads.every((head) => head.rows === heads[0].rows)
    const mean = together && Float32Array.from(scores[0], (_, row) => scores.reduce((sum, own) => sum + (own[row] || 0), 0) / scores.length)
    return scores.map((own, h) => chooseChunks(own, mean || own, rows[h], size))
  }
  return { selectLayer, select: (scores, rows) => chooseChunks(scores, scores, rows, size) }
}

function chooseChunks(own: Float32Array, scores: Float32Array, rows: number, size: number): Uint32Array {
  const kept: number[] = []
  const open: number[] = []
  own.forEach((score, row) => (score === Infinity ? kept : open).push(row))
  if (kept.length >= rows) return Uint32Array.from(kept.slice(kept.length - rows))
  const chunks = Array.from({ length: Math.ceil(open.length / size) }, (_, i) => open.slice(i * size, (i + 1) * size))
  const means = chunks.map((chunk) => chunk.reduce((sum, row) => sum + (scores[row] || 0), 0) / chunk.length)
  const order = chunks.map((_, i) => i).sort((a, b) => means[b] - means[a] || a - b)
  for (const i of order) {
    if (kept.length + chunks[i].length > rows) break
    kept.push(...chunks[i])
  }
  return Uint32Array.from(kept).sort()
}
