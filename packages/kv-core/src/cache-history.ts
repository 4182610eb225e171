import { CacheFormatError } from './errors.ts'
import type { PartStorage } from './held-rows.ts'
import type { Ledger } from './ledger.ts'

/** How a row is stored. */
export interface RowStorage {
  keys: PartStorage
  values: PartStorage
}

/** What changed between two looks at a cache. */
export interface HistoryFrame {
  /** That the cache had seen by then. */
  tokens: number
  ledger: Ledger
  /** Runs of tokens whose state changed, flat: head, first token, tokens, state. Heads count through the layers. */
  changes: Int32Array
  /** Rows that went into rows that stayed, flat: head, token, token that took it. */
  folds: Int32Array
}

/** What became of a token in one head. */
export type Fate =
  | { kind: 'kept'; storage: RowStorage }
  | { kind: 'folded'; into: number }
  | { kind: 'dropped' }
  /** Not read yet. */
  | { kind: 'unseen' }

/** What a cache held of every token, layer and head, look by look. Made by a HistoryRecorder; JSON carries it to wherever it is shown. */
export class CacheHistory {
  readonly policy: string
  readonly layers: number
  readonly kvHeads: number
  /** What a state means: state i + 1 is `storage[i]`, state 0 is not held. */
  readonly storage: RowStorage[]
  readonly frames: HistoryFrame[]
  /** By head, of each token: the score that it had when its head was last cut, NaN if it never met a cut. */
  scores: Float32Array[]

  constructor(parts: Pick<CacheHistory, 'policy' | 'layers' | 'kvHeads' | 'storage' | 'frames' | 'scores'>) {
    this.policy = parts.policy
    this.layers = parts.layers
    this.kvHeads = parts.kvHeads
    this.storage = parts.storage
    this.frames = parts.frames
    this.scores = parts.scores
  }

  get heads(): number {
    return this.layers * this.kvHeads
  }

  /** The state of every token of a frame, by head: [heads][tokens]. Default: the last frame. */
  states(frame: number = this.frames.length - 1): Uint8Array[] {
    const tokens = this.frames[frame]?.tokens ?? 0
    const states = Array.from({ length: this.heads }, () => new Uint8Array(tokens))
    for (const { changes } of this.frames.slice(0, frame + 1))
      for (let i = 0; i < changes.length; i += 4) states[changes[i]].fill(changes[i + 3], changes[i + 1], changes[i + 1] + changes[i + 2])
    return states
  }

  /** What has become of a token in a head by a frame. */
  fate(head: number, token: number, frame: number = this.frames.length - 1): Fate {
    if (!(token < (this.frames[frame]?.tokens ?? 0))) return { kind: 'unseen' }
    let state = 0,
      into = -1
    for (const { changes, folds } of this.frames.slice(0, frame + 1)) {
      for (let i = 0; i < changes.length; i += 4)
        if (changes[i] === head && changes[i + 1] <= token && token < changes[i + 1] + changes[i + 2]) state = changes[i + 3]
      for (let i = 0; i < folds.length; i += 3) if (folds[i] === head && folds[i + 1] === token) into = folds[i + 2]
    }
    if (state > 0) return { kind: 'kept', storage: this.storage[state - 1] }
    return into < 0 ? { kind: 'dropped' } : { kind: 'folded', into }
  }

  /** Plain data; numbers in bulk as base64 of their little-endian bytes. */
  toJSON(): HistoryJson {
    const { policy, layers, kvHeads, storage } = this
    const frames = this.frames.map(({ tokens, ledger, changes, folds }) => ({
      tokens,
      ledger,
      changes: base64(changes),
      folds: base64(folds),
    }))
    return { policy, layers, kvHeads, storage, frames, scores: this.scores.map(base64) }
  }

  /** The history that `toJSON` (or `JSON.stringify`) wrote. Throws CacheFormatError. */
  static from(json: unknown): CacheHistory {
    try {
      const { policy, layers, kvHeads, storage, frames, scores } = json as HistoryJson
      return new CacheHistory({
        policy,
        layers,
        kvHeads,
        storage,
        frames: frames.map((frame) => ({
          tokens: frame.tokens,
          ledger: frame.ledger,
          changes: new Int32Array(bytesOf(frame.changes)),
          folds: new Int32Array(bytesOf(frame.folds)),
        })),
        scores: scores.map((text) => new Float32Array(bytesOf(text))),
      })
    } catch (error) {
      throw new CacheFormatError(`This is no history of a cache: ${(error as Error).message}`, { cause: error })
    }
  }
}

/** A history as JSON. */
export interface HistoryJson {
  policy: string
  layers: number
  kvHeads: number
  storage: RowStorage[]
  frames: { tokens: number; ledger: Ledger; changes: string; folds: string }[]
  scores: string[]
}

/** Characters that are made at once: an engine limits a call's arguments. */
const PIECE = 0x4000

function base64(numbers: Int32Array | Float32Array): string {
  const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)
  let text = ''
  for (let i = 0; i < bytes.length; i += PIECE) text += String.fromCharCode(...bytes.subarray(i, i + PIECE))
  return btoa(text)
}

function bytesOf(text: string): ArrayBuffer {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer
}
