import type { Ledger } from '@kvfold/kv-core'
import type { HistoryJson } from '@kvfold/kv-core/history'

/** The full cache, or the one that the policy makes. */
export type Side = 'full' | 'small'

/** What is read first: a text, or the cache of one that a file brought. */
export type Source = { kind: 'text'; text: string } | { kind: 'file'; file: OpenedFile }

/** A cache file that an engine holds open. */
export interface OpenedFile {
  id: number
  name: string
  policy: string
  /** Of the document that it was made of. */
  tokens: number
  bytes: number
}

export interface Ask {
  source: Source
  question: string
  policy: string
  /** The policy sees the question before it compresses. */
  aware: boolean
}

/** What a cache holds at a moment. */
export type Held = Pick<Ledger, 'bytes' | 'payload' | 'scales' | 'columns' | 'indices' | 'rows'>

/** What an answer took. Times are those of its own work, whatever else was done in between. */
export interface Stats {
  policy: string
  promptTokens: number
  newTokens: number
  readMs: number
  /** The document was read before, for another question. */
  reused: boolean
  msPerToken: number
  bytes: number
  peakBytes: number
  fullF32Bytes: number
  rows: number
  notices: readonly string[]
}

/** What was kept of every token, and the tokens' text. */
export interface Kept {
  history: HistoryJson
  pieces: string[]
  documentTokens: number
}

/** What happens while a question is answered. `at`: milliseconds of this side's own work. */
export type EngineEvent =
  | { type: 'reading'; side: Side; done: number; total: number; at: number; held: Held }
  | { type: 'token'; side: Side; text: string; at: number; ms: number; held: Held }
  | { type: 'done'; side: Side; stats: Stats; kept?: Kept }

/** What answers: a worker of this page, or a server. Errors reject with a sentence for their message. */
export interface Engine {
  /** Answers with the full cache and with the policy's. */
  ask(ask: Ask, onEvent: (event: EngineEvent) => void, signal: AbortSignal): Promise<void>
}
