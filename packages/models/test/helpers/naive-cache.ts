import { tensor, type Tensor as TfTensor } from '@tensorflow/tfjs-core'
import { frequencies, type AttendInput, type CacheShape, type LayerCache } from '@kvfold/kv-core'
import type { Tensor } from '@kvfold/kernels'
import type { SequenceCache } from '../../src/decoder/sequence-cache.ts'

/** A dense cache on plain arrays in float64, written for being obviously right. */
export class NaiveCache implements SequenceCache {
  readonly shape: CacheShape
  readonly layers: NaiveLayer[]

  constructor(shape: CacheShape) {
    this.shape = shape
    this.layers = Array.from({ length: shape.layers }, () => new NaiveLayer(shape))
  }

  get length(): number {
    return this.layers.at(-1)!.keys[0].length
  }

  layer(index: number): NaiveLayer {
    return this.layers[index]
  }
}

export class NaiveLayer implements LayerCache {
  readonly promptQueries = Infinity
  readonly shape: CacheShape
  /** [kvHeads][rows][headDim], keys rotated. */
  readonly keys: Float64Array[][]
  readonly values: Float64Array[][]

  constructor(shape: CacheShape) {
    this.shape = shape
    this.keys = Array.from({ length: shape.kvHeads }, () => [])
    this.values = Array.from({ length: shape.kvHeads }, () => [])
  }

  async attend({ q, k, v, outputs = q.shape[1] }: AttendInput): Promise<Tensor> {
    await Promise.resolve()
    const data = (x: Tensor): ArrayLike<number> => (x as TfTensor).dataSync()
    const { queryHeads, kvHeads, headDim } = this.shape
    const n = q.shape[1],
      before = this.keys[0].length
    const rows = (x: ArrayLike<number>, head: number): Float64Array[] =>
      Array.from({ length: n }, (_, i) => Float64Array.from({ length: headDim }, (_, d) => x[(head * n + i) * headDim + d]))
    const queries = data(q),
      keys = data(k),
      values = data(v)
    for (let head = 0; head < kvHeads; head++) {
      this.keys[head].push(...rows(keys, head).map((row, i) => rotate(row, before + i, this.shape)))
      this.values[head].push(...rows(values, head))
    }
    const out = new Float32Array(queryHeads * outputs * headDim)
    for (let head = 0; head < queryHeads; head++) {
      const kv = Math.floor(head / (queryHeads / kvHeads))
      rows(queries, head).forEach((row, i) => {
        if (i < n - outputs) return
        const seen = before + i + 1
        const result = attendOne(rotate(row, before + i, this.shape), this.keys[kv], this.values[kv], seen)
        out.set(result, (head * outputs + i - (n - outputs)) * headDim)
      })
    }
    return tensor(out, [queryHeads, outputs, headDim])
  }
}

export function attendOne(q: Float64Array, keys: Float64Array[], values: Float64Array[], seen: number): Float64Array {
  const logits = new Float64Array(seen)
  for (let j = 0; j < seen; j++) {
    let dot = 0
    for (let d = 0; d < q.length; d++) dot += q[d] * keys[j][d]
    logits[j] = dot / Math.sqrt(q.length)
  }
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const out = new Float64Array(q.length)
  let sum = 0
  for (let j = 0; j < seen; j++) {
    const p = Math.exp(logits[j] - max)
    sum += p
    for (let d = 0; d < q.length; d++) out[d] += p * values[j][d]
  }
  return out.map((x) => x / sum)
}

export function rotate(row: Float64Array, position: number, shape: CacheShape): Float64Array {
  if (shape.rope === 'external') return row
  const { perPair, attentionFactor } = frequencies(shape.rope, row.length, position + 1)
  const half = row.length / 2,
    out = new Float64Array(row.length)
  for (let i = 0; i < half; i++) {
    const cos = Math.cos(position * perPair[i]) * attentionFactor,
      sin = Math.sin(position * perPair[i]) * attentionFactor
    out[i] = row[i] * cos - row[i + half] * sin
    out[i + half] = row[i + half] * cos + row[i] * sin
  }
  return out
}
