import type { KvCache, Ledger } from '@kvfold/kv-core'
import { type HistoryJson, HistoryRecorder } from '@kvfold/kv-core/history'
import type { Tokenizer } from '@kvfold/models'

/** What a cache held all along, and the text of each token that it read. */
export interface Recorded {
  history: HistoryJson
  pieces: string[]
}

/** The parts of what a cache holds at one moment. */
export type HeldBytes = Pick<Ledger, 'bytes' | 'payload' | 'scales' | 'columns' | 'indices' | 'rows'>

/** Watches a cache for a request that asks for its history. The cache must have a trace. */
export class Recording {
  private readonly cache: KvCache
  private readonly tokenizer: Tokenizer
  private readonly recorder: HistoryRecorder
  private readonly pieces: string[]

  constructor(cache: KvCache, tokenizer: Tokenizer, from?: Recording) {
    this.cache = cache
    this.tokenizer = tokenizer
    this.recorder = from ? from.recorder.fork(cache) : new HistoryRecorder(cache)
    this.pieces = from ? [...from.pieces] : []
  }

  /** Goes on with a fork of the cache, for a session's next turn. */
  fork(cache: KvCache): Recording {
    return new Recording(cache, this.tokenizer, this)
  }

  /** After the cache has read these tokens. */
  read(tokens: readonly number[]): void {
    this.pieces.push(...this.tokenizer.pieces(tokens))
    this.recorder.look()
  }

  now(): HeldBytes {
    const { bytes, payload, scales, columns, indices, rows } = this.cache.ledger()
    return { bytes, payload, scales, columns, indices, rows }
  }

  report(): Recorded {
    return { history: this.recorder.history.toJSON(), pieces: this.pieces }
  }
}
