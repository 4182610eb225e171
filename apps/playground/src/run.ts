import { CacheHistory } from '@kvfold/kv-core/history'
import { batch, signal } from '@preact/signals'
import type { EngineEvent, Held, Side, Stats } from './engine/engine.ts'

/** A moment of one side: what its cache held after so many milliseconds of its own work. */
export interface Moment extends Held {
  at: number
}

/** One side's answer so far. */
export interface AnswerState {
  /** Share of the prompt that is read. */
  read: number
  tokens: readonly string[]
  moments: readonly Moment[]
  /** Milliseconds of the tokens after the first. */
  decodeMs: number
  stats?: Stats
}

/** What was kept, ready to be shown. */
export interface Picture {
  history: CacheHistory
  pieces: string[]
  documentTokens: number
}

const NOTHING: AnswerState = { read: 0, tokens: [], moments: [], decodeMs: 0 }

export const status = signal<'idle' | 'working'>('idle')
/** What is being done, while something is. */
export const activity = signal('')
/** Why the last thing failed, as a sentence. */
export const failure = signal('')
export const answers = { full: signal(NOTHING), small: signal(NOTHING) }
/** A file has no full cache to compare with. */
export const sides = signal<readonly Side[]>(['full', 'small'])
export const picture = signal<Picture | undefined>(undefined)

/** Forgets the answers that are shown. */
export function begin(shown: readonly Side[]): void {
  batch(() => {
    sides.value = shown
    picture.value = undefined
    for (const answer of Object.values(answers)) answer.value = NOTHING
  })
}

/** Shows what happened. */
export function take(event: EngineEvent): void {
  const answer = answers[event.side]
  const before = answer.value
  switch (event.type) {
    case 'reading':
      answer.value = { ...before, read: event.done / event.total, moments: [...before.moments, { at: event.at, ...event.held }] }
      break
    case 'token':
      answer.value = {
        ...before,
        read: 1,
        tokens: [...before.tokens, event.text],
        moments: [...before.moments, { at: event.at, ...event.held }],
        decodeMs: before.decodeMs + (before.tokens.length > 0 ? event.ms : 0),
      }
      break
    case 'done':
      batch(() => {
        answer.value = { ...before, stats: event.stats }
        if (event.kept) picture.value = { ...event.kept, history: CacheHistory.from(event.kept.history) }
      })
  }
}

/** Where the two answers part: the number of tokens that agree, if they do not agree to the end. */
export function firstDifference(full: readonly string[], small: readonly string[]): number | undefined {
  const at = small.findIndex((token, i) => token !== full[i])
  if (at >= 0) return at
  return small.length < full.length ? small.length : undefined
}
