import type { HeadView } from '@kvfold/kv-core'

/** For each row that leaves, the row of `targets` whose key points most in the same direction; the older one of a tie. */
export interface Nearest {
  /** Row indices, one per row that leaves. */
  into: Uint32Array
  /** Cosines; 0 where a key is zero. */
  similarity: Float32Array
}

/** Numbers of one look at the head: half a megabyte. */
const LOGITS = 2 ** 17

/** `targets` are rows that are not packed. Costs left * rows * headDim, in the kernels: a key that leaves is a query to the head, of length 1. */
export function nearest(head: HeadView, left: Uint32Array, targets: Uint32Array): Nearest {
  const { rows, headDim } = head
  const keys = head.keys()
  const inverse = (row: number): number => {
    let sum = 0
    for (let c = row * headDim; c < (row + 1) * headDim; c++) sum += keys[c] * keys[c]
    return sum > 0 ? 1 / Math.sqrt(sum) : 0
  }
  // Logits are dot products over sqrt(headDim).
  const factors = Float64Array.from(targets, (row) => inverse(row) * Math.sqrt(headDim))
  const into = new Uint32Array(left.length)
  const similarity = new Float32Array(left.length)
  const most = Math.max(4, Math.floor(LOGITS / rows))
  for (let first = 0; first < left.length; first += most) {
    const count = Math.min(most, left.length - first)
    const queries = new Float32Array(count * headDim)
    for (let i = 0; i < count; i++) {
      const from = left[first + i] * headDim
      const scale = inverse(left[first + i])
      for (let c = 0; c < headDim; c++) queries[i * headDim + c] = keys[from + c] * scale
    }
    const logits = head.logits(queries, count)
    for (let i = 0; i < count; i++) {
      let best = 0,
        largest = -1
      for (let t = 0; t < targets.length; t++) {
        const cosine = logits[i * rows + targets[t]] * factors[t]
        if (cosine > largest) {
          largest = cosine
          best = t
        }
      }
      into[first + i] = targets[best]
      similarity[first + i] = largest
    }
  }
  return { into, similarity }
}
