import { softmaxStateBytes } from '@kvfold/kernels'
import type { Shared } from './layer.ts'
import type { Attended } from './observe.ts'

/** The prompt's first rows, at which every query looks: they take part in every softmax. */
const SINKS = 4

/** A prompt that is read a second time over the whole of itself, part by part. Nothing of it stays but the column `reconstruction`. */
export class SecondReading {
  /** When it began: rows by layer and head, and tokens seen. */
  readonly rows: number[][]
  readonly seen: number
  /** Tokens of the prompt: each head's newest rows. */
  readonly tokens: number
  /** The part that is being repeated. */
  first = 0
  count = 0

  constructor(rows: number[][], seen: number, tokens: number) {
    this.rows = rows
    this.seen = seen
    this.tokens = tokens
  }

  /**
   * Raises the column to the most attention that one of these queries, by one of the group's heads, gives a row: softmax over the prompt's
   * first rows, the repeated part and the reading's own rows.
   */
  async observe({ kernels, pool }: Shared, layer: number, h: number, attended: Attended, rowsBefore: number): Promise<void> {
    const { head, queries, bias } = attended
    const { group } = queries
    const began = this.rows[layer][h]
    const prompt = began - this.tokens
    const first = prompt + this.first
    const sinks = Math.min(SINKS, this.first)
    // If the part is all there is, the reading's own softmax is the one.
    const all = first === 0 && this.count === began
    const stateBytes = all ? 0 : softmaxStateBytes(queries),
      maximaBytes = group * this.count * 4
    const state = all ? attended.state : pool.malloc(stateBytes),
      maxima = pool.malloc(maximaBytes)
    kernels.heap.f32.fill(0, maxima >> 2, (maxima + maximaBytes) >> 2)
    if (!all) {
      kernels.begin(state, queries)
      head.visitSpan(prompt, sinks, -1, bias, (rows, causal) => kernels.prefill(state, queries, rows, causal))
      head.visitSpan(first, this.count, -1, bias, (rows, causal) => kernels.prefill(state, queries, rows, causal))
      head.visitSpan(began, head.rows - began, rowsBefore - began, bias, (rows, causal) => kernels.prefill(state, queries, rows, causal))
    }
    head.visitSpan(first, this.count, -1, bias, (rows, causal) => kernels.columnMaxima(state, queries, rows, causal, maxima))
    const scores = head.columns.get('reconstruction')
    for (let g = 0, at = maxima >> 2; g < group; g++)
      for (let row = first; row < first + this.count; row++, at++) scores[row] = Math.max(scores[row], kernels.heap.f32[at])
    if (!all) pool.free(state, stateBytes)
    pool.free(maxima, maximaBytes)
  }
}
