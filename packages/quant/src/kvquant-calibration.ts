import type { Calibration, Levels } from '@kvfold/kv-core'

/** Share of a key channel's numbers below its range, and above. */
const TAIL = 0.005
const LOOPS = 100
const BITS = [2, 3, 4] as const

/**
 * What KVQuant must know of a layer: the ranges of its key channels, and levels by k-means. `keys`, not rotated, and `values` are those of sample
 * texts, [tokens][kvHeads * headDim]; `headDim` numbers of a value share a range.
 */
export function calibrateLayer(keys: Float32Array, values: Float32Array, channels: number, headDim: number): Calibration {
  const tokens = keys.length / channels
  const keyLow = new Float32Array(channels),
    keyHigh = new Float32Array(channels)
  const relativeKeys: number[] = []
  const column = new Float32Array(tokens)
  for (let c = 0; c < channels; c++) {
    for (let t = 0; t < tokens; t++) column[t] = keys[t * channels + c]
    column.sort()
    keyLow[c] = quantile(column, TAIL)
    keyHigh[c] = quantile(column, 1 - TAIL)
    pushRelative(relativeKeys, column, keyLow[c], keyHigh[c])
  }
  const relativeValues: number[] = []
  for (let at = 0; at < values.length; at += headDim) {
    const sorted = values.slice(at, at + headDim).sort()
    // Without the largest and the smallest number, as a row is packed.
    pushRelative(relativeValues, sorted, sorted[1], sorted[headDim - 2])
  }
  return { keyLow, keyHigh, keyLevels: allLevels(relativeKeys), valueLevels: allLevels(relativeValues) }
}

/** The number below which a share of some ascending numbers lies, between its neighbours. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const place = share * (sorted.length - 1)
  const below = Math.floor(place)
  return sorted[below] + (sorted[Math.min(sorted.length - 1, below + 1)] - sorted[below]) * (place - below)
}

function pushRelative(into: number[], x: Float32Array, low: number, high: number): void {
  if (!(high > low)) return
  for (const value of x) if (value >= low && value <= high) into.push((2 * (value - low)) / (high - low) - 1)
}

function allLevels(numbers: readonly number[]): Calibration['keyLevels'] {
  const sorted = Float64Array.from(numbers).sort()
  return Object.fromEntries(BITS.map((bits) => [bits, findLevels(sorted, 2 ** bits, bits === 2)])) as unknown as Calibration['keyLevels']
}

/**
 * `count` levels for some ascending numbers in [-1, 1] by k-means from evenly spaced quantiles. `stretch`: read back so that mean and deviation
 * are those of the numbers (Q-Norm).
 */
export function findLevels(sorted: Float64Array, count: number, stretch: boolean): Levels {
  if (sorted.length === 0) {
    const evenly = Float32Array.from({ length: count }, (_, i) => (2 * i) / (count - 1) - 1)
    return { choose: evenly, read: evenly }
  }
  const sums = new Float64Array(sorted.length + 1),
    squares = new Float64Array(sorted.length + 1)
  for (let i = 0; i < sorted.length; i++) {
    sums[i + 1] = sums[i] + sorted[i]
    squares[i + 1] = squares[i] + sorted[i] ** 2
  }
  let levels = Float64Array.from({ length: count }, (_, i) => quantile(sorted, (i + 0.5) / count))
  let ends: number[] = []
  for (let loop = 0; loop < LOOPS; loop++) {
    // A number belongs to the nearest level: each has a run of the sorted ones.
    ends = [0, ...Array.from({ length: count - 1 }, (_, i) => lowerBound(sorted, (levels[i] + levels[i + 1]) / 2)), sorted.length]
    const next = levels.map((level, i) => (ends[i + 1] > ends[i] ? (sums[ends[i + 1]] - sums[ends[i]]) / (ends[i + 1] - ends[i]) : level))
    const moved = next.some((level, i) => level !== levels[i])
    levels = next
    if (!moved) break
  }
  const choose = Float32Array.from(levels)
  if (!stretch) return { choose, read: choose }
  const n = sorted.length
  const mean = sums[n] / n
  const deviation = Math.sqrt(Math.max(0, squares[n] / n - mean ** 2))
  let roundedSquares = 0
  levels.forEach((level, i) => (roundedSquares += (level - mean) ** 2 * (ends[i + 1] - ends[i])))
  const scale = roundedSquares > 0 ? deviation / Math.sqrt(roundedSquares / n) : 1
  // Centres of their numbers have the numbers' mean already.
  return { choose, read: Float32Array.from(levels, (level) => (level - mean) * scale + mean) }
}

/** How many of some ascending numbers are smaller. */
function lowerBound(sorted: Float64Array, x: number): number {
  let low = 0,
    high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle] < x) low = middle + 1
    else high = middle
  }
  return low
}
