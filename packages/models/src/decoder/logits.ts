import { slice, tidy, type Tensor2D } from '@tensorflow/tfjs-core'
import { ModelInputError } from '../errors.ts'
import { apply } from './linear.ts'
import { normalize } from './norm.ts'
import type { Parameters } from './parameters.ts'

/** How many of the last rows of `count` get logits. */
export function wantedRows(logits: 'last' | 'all' | 'none' | number, count: number): number {
  if (logits === 'last') return Math.min(1, count)
  if (logits === 'all') return count
  if (logits === 'none') return 0
  if (!Number.isInteger(logits) || logits < 0)
    throw new ModelInputError(`logits is ${String(logits)}: give 'last', 'all', 'none' or how many of the last tokens.`)
  return Math.min(logits, count)
}

/** Logits of the last `wanted` rows of all chunks, chunk by chunk: [wanted, vocabulary]. */
export async function headLogits(
  { norm, head }: Parameters,
  chunks: readonly Tensor2D[],
  wanted: number,
  vocabulary: number,
): Promise<Float32Array> {
  let skip = chunks.reduce((rows, chunk) => rows + chunk.shape[0], 0) - wanted
  let logits: Float32Array | undefined,
    filled = 0
  for (const chunk of chunks) {
    const [rows, width] = chunk.shape
    if (skip >= rows) {
      skip -= rows
      continue
    }
    const result = tidy(() => apply(head, normalize(norm, skip ? slice(chunk, [skip, 0], [rows - skip, width]) : chunk)))
    skip = 0
    try {
      const data = (await result.data()) as Float32Array
      if (data.length === wanted * vocabulary) return data
      logits ??= new Float32Array(wanted * vocabulary)
      logits.set(data, filled)
      filled += data.length
    } finally {
      result.dispose()
    }
  }
  return logits ?? new Float32Array(0)
}
