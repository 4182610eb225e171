import { frequencies, type CacheShape, type Random } from '@kvfold/kv-core'

/** A layer's inputs, drawn at random: [heads, n, headDim]. */
export interface Inputs {
  q: Float32Array
  k: Float32Array
  v: Float32Array
  n: number
}

export function randomInputs(shape: CacheShape, n: number, random: Random): Inputs {
  const draw = (heads: number): Float32Array =>
    Float32Array.from({ length: heads * n * shape.headDim }, () => (random() + random() + random() - 1.5) * 2)
  return { q: draw(shape.queryHeads), k: draw(shape.kvHeads), v: draw(shape.kvHeads), n }
}

/** Causal softmax attention of one layer over everything seen so far, in float64: the definition, and nothing else. */
export class PlainAttention {
  private readonly shape: CacheShape
  private readonly keys: Float64Array[][]
  private readonly values: Float64Array[][]

  constructor(shape: CacheShape) {
    this.shape = shape
    this.keys = Array.from({ length: shape.kvHeads }, () => [])
    this.values = Array.from({ length: shape.kvHeads }, () => [])
  }

  attend({ q, k, v, n }: Inputs): Float32Array {
    const { queryHeads, kvHeads, headDim } = this.shape
    const out = new Float32Array(queryHeads * n * headDim)
    const start = this.keys[0].length
    for (let h = 0; h < kvHeads; h++) {
      for (let i = 0; i < n; i++) {
        const at = (h * n + i) * headDim
        this.keys[h].push(this.rotate(k.subarray(at, at + headDim), start + i))
        this.values[h].push(Float64Array.from(v.subarray(at, at + headDim)))
      }
    }
    for (let h = 0; h < queryHeads; h++) {
      const kv = Math.floor(h / (queryHeads / kvHeads))
      for (let i = 0; i < n; i++) {
        const at = (h * n + i) * headDim
        const query = this.rotate(q.subarray(at, at + headDim), start + i)
        const logits = this.keys[kv].slice(0, start + i + 1).map((key) => dot(query, key) / Math.sqrt(headDim))
        const max = Math.max(...logits)
        const weights = logits.map((l) => Math.exp(l - max))
        const sum = weights.reduce((a, b) => a + b, 0)
        for (let d = 0; d < headDim; d++) out[at + d] = weights.reduce((acc, w, j) => acc + w * this.values[kv][j][d], 0) / sum
      }
    }
    return out
  }

  private rotate(x: Float32Array, position: number): Float64Array {
    const { rope, headDim } = this.shape
    if (rope === 'external') return Float64Array.from(x)
    const { perPair } = frequencies(rope, headDim, position + 1)
    const out = new Float64Array(headDim)
    for (let i = 0; i < headDim / 2; i++) {
      const cos = Math.cos(position * perPair[i]),
        sin = Math.sin(position * perPair[i])
      const a = x[i],
        b = x[i + headDim / 2]
      out[i] = a * cos - b * sin
      out[i + headDim / 2] = b * cos + a * sin
    }
    return out
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}

/** Largest difference over the largest expected magnitude. */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  let worst = 0,
    scale = 0
  for (let i = 0; i < expected.length; i++) {
    if (!(Math.abs(actual[i] - expected[i]) <= worst)) worst = Math.abs(actual[i] - expected[i])
    scale = Math.max(scale, Math.abs(expected[i]))
  }
  return worst / (scale || 1)
}
