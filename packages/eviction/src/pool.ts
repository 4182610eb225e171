/** Mean of `kernel` neighbours, stride 1. Borders count as zero and the divisor is always `kernel`, which pulls the edges down. */
export function averagePool(values: Float64Array, kernel: number): Float64Array {
  const n = values.length
  const reach = kernel >> 1
  const pooled = new Float64Array(n)
  // Summed anew for each row: a running sum would carry one NaN, and its rounding, to the end.
  for (let j = 0; j < n; j++) {
    let sum = 0
    for (let i = Math.max(0, j - reach), end = Math.min(n, j + reach + 1); i < end; i++) sum += values[i]
    pooled[j] = sum / kernel
  }
  return pooled
}

/** Largest of `kernel` neighbours, stride 1; there is nothing beyond the borders. */
export function maxPool(values: Float64Array, kernel: number): Float64Array {
  const n = values.length
  const reach = kernel >> 1
  const pooled = new Float64Array(n)
  for (let j = 0; j < n; j++) {
    let max = -Infinity
    for (let i = Math.max(0, j - reach), end = Math.min(n, j + reach + 1); i < end; i++) max = Math.max(max, values[i])
    pooled[j] = max
  }
  return pooled
}
