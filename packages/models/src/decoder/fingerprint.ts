import { crc32 } from '@kvfold/kv-core'
import type { ModelConfig } from '../config/model-config.ts'
import type { Rows, Weights } from '../weights/weights.ts'

/** Rows of a matrix that are looked at, at most: evenly spread. */
const ROWS = 8

/** Weights of which a sample is taken while they are loaded: no file is read twice. */
export interface SampledWeights {
  weights: Weights
  /** Of what was loaded so far, in whatever order. */
  sum(): number
}

/** Looks at a few rows of every parameter, as float32: the same from any file that holds the same numbers. */
export function sampleWeights(weights: Weights): SampledWeights {
  const sums = new Map<string, number>()
  const find: Weights['find'] = (name) => {
    const stored = weights.find(name)
    return (
      stored && {
        shape: stored.shape,
        type: stored.type,
        async load() {
          const rows = await stored.load()
          sums.set(name, sampleRows(rows, stored.shape))
          return rows
        },
      }
    )
  }
  return {
    weights: { name: weights.name, find, close: () => weights.close() },
    sum: () =>
      crc32(
        new TextEncoder().encode(
          [...sums]
            .map(([name, sum]) => `${name} ${sum}`)
            .sort()
            .join(),
        ),
      ),
  }
}

/** The checksum of a few rows; a vector is one row. */
function sampleRows(rows: Rows, shape: readonly number[]): number {
  const values = new Float32Array(shape.at(-1) ?? 1)
  const count = shape.length > 1 ? shape[0] : 1
  let sum = 0
  for (let row = 0; row < count; row += Math.ceil(count / ROWS)) {
    rows.read(row, values, 0)
    sum = crc32(new Uint8Array(values.buffer), sum)
  }
  return sum
}

/**
 * Tells models apart whose caches differ: what the decoder computes with, and a sample of the weights. No signature: it is for mistakes, not
 * for forgers.
 */
export function modelFingerprint(config: ModelConfig, sample: number): string {
  const { architecture, layers, width, feedForward, queryHeads, kvHeads, headDim, vocabulary, normEpsilon, rope, queryKeyNorm } = config
  const facts = { layers, width, feedForward, queryHeads, kvHeads, headDim, vocabulary, normEpsilon, rope, queryKeyNorm }
  const sum = crc32(new TextEncoder().encode(plain(facts)))
  return `${architecture}-${layers}x${width}-${hex(sum)}${hex(sample)}`
}

/** Text that does not depend on the order of keys, nor on whether a file kept a number in 32 bits or in 64. */
function plain(value: unknown): string {
  if (typeof value === 'number') return value.toPrecision(6)
  if (typeof value !== 'object' || value === null) return String(value)
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
  return `{${entries
    .map(([key, inner]) => `${key}:${plain(inner)}`)
    .sort()
    .join(',')}}`
}

function hex(sum: number): string {
  return sum.toString(16).padStart(8, '0')
}
