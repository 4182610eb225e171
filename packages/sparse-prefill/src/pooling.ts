/**
 * What each row and each diagonal gets of the last `window` queries' attention, on average: [rows] each, summing to 1.
 * Logits are [window][rows]. `slash[t]` is the diagonal that the last query crosses in row t: the last one is the main diagonal.
 */
export function lastBlockAttention(logits: Float32Array, window: number, rows: number): { vertical: Float64Array; slash: Float64Array } {
  const vertical = new Float64Array(rows)
  const slash = new Float64Array(rows)
  const shares = new Float64Array(rows)
  for (let i = 0; i < window; i++) {
    // A later query of the window is masked in this one's row.
    const seen = rows - window + i + 1
    const row = logits.subarray(i * rows, i * rows + seen)
    let max = -Infinity
    for (let j = 0; j < seen; j++) if (row[j] > max) max = row[j]
    let sum = 0
    for (let j = 0; j < seen; j++) sum += shares[j] = Math.exp(row[j] - max)
    const scale = 1 / (sum * window)
    const shift = window - 1 - i
    for (let j = 0; j < seen; j++) {
      vertical[j] += shares[j] * scale
      slash[j + shift] += shares[j] * scale
    }
  }
  return { vertical, slash }
}

/** How many of the largest numbers are needed for their sum to exceed `share`: at least 1, one more than there are if they never do. */
export function covered(values: Float64Array, share: number): number {
  const sorted = values.slice().sort()
  let sum = 0
  for (let n = 1; n <= sorted.length; n++) {
    sum += sorted[sorted.length - n]
    if (sum > share) return n
  }
  return sorted.length + 1
}

/** The indices of the largest numbers whose running sum stays within `share`; the one that passes it is not among them. Ascending. */
export function coveredIndices(values: Float64Array, share: number): Uint32Array {
  return topIndices(values, covered(values, share) - 1)
}

/** The indices of the `count` largest numbers, ascending; of a tie, the smaller indices. */
export function topIndices(values: Float64Array, count: number): Uint32Array {
  if (count >= values.length) return Uint32Array.from(values, (_, i) => i)
  // A native sort and two passes: much faster than sorting indices when there are a million.
  const threshold = values.slice().sort()[values.length - count]
  let ties = count
  for (const value of values) if (value > threshold) ties--
  let n = 0
  const indices = new Uint32Array(count)
  for (let i = 0; i < values.length && n < count; i++) {
    if (values[i] > threshold || (values[i] === threshold && ties-- > 0)) indices[n++] = i
  }
  return indices
}

/** Sums over runs of `size`, the last one possibly shorter. */
export function pool(values: Float64Array, size: number): Float64Array {
  const sums = new Float64Array(Math.ceil(values.length / size))
  for (let i = 0; i < values.length; i++) sums[Math.floor(i / size)] += values[i]
  return sums
}

/** The mean of every run of `size` vectors [count][headDim], the last one possibly shorter. */
export function meanVectors(vectors: Float32Array, count: number, headDim: number, size: number): Float64Array {
  const means = new Float64Array(Math.ceil(count / size) * headDim)
  for (let i = 0; i < count; i++) {
    const at = Math.floor(i / size) * headDim
    for (let c = 0; c < headDim; c++) means[at + c] += vectors[i * headDim + c]
  }
  for (let i = 0; i < means.length; i++) {
    const first = Math.floor(i / headDim) * size
    means[i] /= Math.min(size, count - first)
  }
  return means
}

export function softmax(logits: Float64Array): Float64Array {
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const shares = logits.map((x) => Math.exp(x - max))
  const sum = shares.reduce((a, b) => a + b, 0)
  return shares.map((x) => x / sum)
}

/**
 * The root of the Jensen-Shannon divergence (natural logarithm). NaN if a share is 0 in float32, as 0 * ln 0 is where the authors
 * compute it; no threshold is above NaN, so such a head keeps the vertical-slash pattern.
 */
export function rootJsDivergence(p: Float64Array, q: Float64Array): number {
  let sum = 0
  for (let i = 0; i < p.length; i++) {
    if (Math.fround(p[i]) === 0 || Math.fround(q[i]) === 0) return NaN
    const m = (p[i] + q[i]) / 2
    sum += 0.5 * p[i] * Math.log(p[i] / m) + 0.5 * q[i] * Math.log(q[i] / m)
  }
  return Math.sqrt(Math.max(0, sum))
}
