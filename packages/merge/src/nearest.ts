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

/** `targets` ascend. Costs targets * rows * headDim, in the kernels: the targets' keys, brought to length 1, are queries to the head. */
export function nearest(head: HeadView, left: Uint32Array, targets: Uint32Array): Nearest {
  const { rows, headDim } = head
  const keys = head.keys()
  const inverse = (row: number): number => {
    let sum = 0
    for (let c = row * headDim; c < (row + 1) * headDim; c++) sum += keys[c] * keys[c]
    return sum > 0 ? 1 / Math.sqrt(sum) : 0
  }
  // Logits are dot products over sqrt(headDim).
  const factors = Float64Array.from(left, (row) => inverse(row) * Math.sqrt(headDim))
  const into = new Uint32Array(left.length).fill(targets[0])
  const largest = new Float64Array(left.length).fill(-1)
  const most = Math.max(4, Math.floor(LOGITS / rows))
  for (let first = 0; first < targets.length; first += most) {
    const some = targets.subarray(first, first + most)
    const queries = new Float32Array(some.length * headDim)
    some.forEach((row, t) => {
      const scale = inverse(row)
      for (let c = 0; c < headDim; c++) queries[t * headDim + c] = keys[row * headDim + c] * scale
    })
    const logits = head.logits(queries, some.length)
    some.forEach((row, t) => {
      for (let i = 0; i < left.length; i++) {
        const cosine = logits[t * rows + left[i]] * factors[i]
        if (cosine > largest[i]) {
          largest[i] = cosine
          into[i] = row
        }
      }
    })
  }
  return { into, similarity: Float32Array.from(largest) }
}
