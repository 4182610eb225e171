/** For each row that leaves, the row of `targets` whose key points most in the same direction; the older one of a tie. */
export interface Nearest {
  /** Row indices, one per row that leaves. */
  into: Uint32Array
  /** Cosines; 0 where a key is zero. */
  similarity: Float32Array
}

// So many targets at once that their keys stay in the nearest cache while all rows that leave pass by.
const BLOCK = 32

/** `keys` [rows][headDim] are brought to length 1 in place. Costs left * targets * headDim. */
export function nearest(keys: Float32Array, left: Uint32Array, targets: Uint32Array, headDim: number): Nearest {
  normalise(keys, headDim)
  const into = new Uint32Array(left.length).fill(targets[0])
  const similarity = new Float32Array(left.length).fill(-1)
  for (let start = 0; start < targets.length; start += BLOCK) {
    const end = Math.min(targets.length, start + BLOCK)
    for (let i = 0; i < left.length; i++) {
      const from = left[i] * headDim
      for (let t = start; t < end; t++) {
        const to = targets[t] * headDim
        let dot = 0
        for (let c = 0; c < headDim; c++) dot += keys[from + c] * keys[to + c]
        if (dot > similarity[i]) {
          similarity[i] = dot
          into[i] = targets[t]
        }
      }
    }
  }
  return { into, similarity }
}

function normalise(rows: Float32Array, headDim: number): void {
  for (let start = 0; start < rows.length; start += headDim) {
    let sum = 0
    for (let c = start; c < start + headDim; c++) sum += rows[c] * rows[c]
    const scale = sum > 0 ? 1 / Math.sqrt(sum) : 0
    for (let c = start; c < start + headDim; c++) rows[c] *= scale
  }
}
