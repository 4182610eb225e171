import type { BlockList, PrefillView } from '@kvfold/kv-core'

/** A view over plain arrays: queries [group][count][headDim], keys [rows][headDim]. */
export function prefillView(queries: Float32Array, keys: Float32Array, group: number, headDim: number): PrefillView {
  const count = queries.length / group / headDim
  const rows = keys.length / headDim
  const logit = (head: number, i: number, j: number): number => {
    if (j > rows - count + i) return -Infinity
    let sum = 0
    for (let c = 0; c < headDim; c++) sum += queries[(head * count + i) * headDim + c] * keys[j * headDim + c]
    return sum / Math.sqrt(headDim)
  }
  return {
    layer: 0,
    head: 0,
    group,
    count,
    rows,
    headDim,
    queries,
    keys: () => keys,
    lastLogits(window) {
      const logits = new Float32Array(group * window * rows)
      for (let at = 0; at < logits.length; at++) {
        const i = Math.floor(at / rows)
        logits[at] = logit(Math.floor(i / window), count - window + (i % window), at % rows)
      }
      return logits
    },
  }
}

/** Each query head's blocks as [query block, row block] pairs, in order. */
export function pairsOf(list: BlockList, group: number): [number, number][][] {
  const perHead = list.offsets.length / group
  return Array.from({ length: group }, (_, head) => {
    const offsets = list.offsets.subarray(head * perHead, (head + 1) * perHead)
    return Array.from({ length: perHead - 1 }, (_, r) =>
      [...list.indices.subarray(offsets[r], offsets[r + 1])].map((c): [number, number] => [r, c]),
    ).flat()
  })
}

/** Attention over the listed blocks only (all, without a list), in float64: [group][count][headDim]. */
export function attention(view: PrefillView, values: Float32Array, list?: BlockList): Float64Array {
  const { group, count, rows, headDim, queries } = view
  const keys = view.keys()
  const out = new Float64Array(group * count * headDim)
  const seen = list && pairsOf(list, group).map((pairs) => new Set(pairs.map(([r, c]) => r * rows + c)))
  for (let at = 0; at < group * count; at++) {
    const i = at % count
    const logits = new Float64Array(rows).fill(-Infinity)
    for (let j = 0; j <= rows - count + i; j++) {
      if (list && !seen?.[Math.floor(at / count)].has(Math.floor(i / list.size) * rows + Math.floor(j / list.size))) continue
      let dot = 0
      for (let c = 0; c < headDim; c++) dot += queries[at * headDim + c] * keys[j * headDim + c]
      logits[j] = dot / Math.sqrt(headDim)
    }
    const max = logits.reduce((x, y) => Math.max(x, y))
    const shares = logits.map((logit) => Math.exp(logit - max))
    const sum = shares.reduce((x, y) => x + y)
    for (let j = 0; j < rows; j++) {
      for (let c = 0; c < headDim; c++) out[at * headDim + c] += (shares[j] / sum) * values[j * headDim + c]
    }
  }
  return out
}
