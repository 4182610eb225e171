import type { KvCache } from './cache.ts'
import { UnsupportedPolicyError } from './errors.ts'
import type { HeldRun, PartStorage } from './held-rows.ts'
import { CacheHistory } from './cache-history.ts'
import type { TracedPlan } from './trace.ts'

/** Looks at a cache whenever it is told to, and keeps what changed since the last look. It empties the cache's trace. */
export class HistoryRecorder {
  readonly history: CacheHistory
  private readonly cache: KvCache
  private states: Uint8Array[]
  /** By head, each row's token, under a policy that numbers rows by their places. */
  private tokens: number[][]
  private codes = new Map<string, number>()

  /** Throws UnsupportedPolicyError for a cache without a trace. */
  constructor(cache: KvCache) {
    if (!cache.trace) throw new UnsupportedPolicyError('A history needs the plans of its cache: make that with { trace: true }.')
    const { layers, kvHeads } = cache.shape
    const empty = Array.from({ length: layers * kvHeads }, () => null)
    this.cache = cache
    this.states = empty.map(() => new Uint8Array(0))
    this.tokens = empty.map(() => [])
    this.history = new CacheHistory({
      policy: cache.policy.text,
      layers,
      kvHeads,
      storage: [],
      frames: [],
      scores: empty.map(() => new Float32Array(0)),
    })
  }

  /** Goes on with a fork of the cache, as it is at the last look. Throws UnsupportedPolicyError. */
  fork(cache: KvCache): HistoryRecorder {
    const { history, states, tokens, codes } = this
    const further = new HistoryRecorder(cache)
    further.history.storage.push(...history.storage)
    further.history.frames.push(...history.frames)
    further.history.scores = [...history.scores]
    further.states = [...states]
    further.tokens = tokens.map((own) => [...own])
    further.codes = new Map(codes)
    return further
  }

  /** Adds a frame: what the cache holds now. Call it after a prompt and after each step. */
  look(): void {
    const { cache, history } = this
    const { kvHeads } = cache.shape
    const { length } = cache
    history.scores = history.scores.map((scores) => grown(scores, length, NaN))
    const folds = cache.trace!.plans.splice(0).flatMap((plan) => this.follow(plan))
    const changes: number[] = []
    const before = this.states
    this.states = before.map((_, index) => {
      const { positions, runs } = cache.held(Math.floor(index / kvHeads), index % kvHeads)
      const states = new Uint8Array(length)
      let row = 0
      for (const run of runs) {
        const state = this.stateOf(run)
        for (const end = row + run.rows; row < end; row++) states[this.tokenOf(index, row, positions, length)] = state
      }
      addChanges(changes, index, before[index], states)
      return states
    })
    history.frames.push({ tokens: length, ledger: cache.ledger(), changes: Int32Array.from(changes), folds: Int32Array.from(folds) })
  }

  /** Takes over a plan's scores, and finds its folds: head, token, token that took it. */
  private follow({ layer, heads, positions, scores, seen }: TracedPlan): number[] {
    const folds: number[] = []
    for (const [i, { keep, fold }] of heads.entries()) {
      const index = layer * heads.length + i
      const tokens = Array.from(positions[i], (_, row) => this.tokenOf(index, row, positions[i], seen))
      for (const [row, token] of tokens.entries()) this.history.scores[index][token] = scores[i][row]
      if (this.cache.policy.select.contiguous) this.tokens[index] = Array.from(keep, (row) => tokens[row])
      if (!fold) continue
      const kept = new Set(keep)
      for (const [entry, from] of fold.from.entries()) if (!kept.has(from)) folds.push(index, tokens[from], tokens[fold.into[entry]])
    }
    return folds
  }

  /** The token of a head's row. Rows that came since the last cut are the newest tokens. */
  private tokenOf(index: number, row: number, positions: Float32Array, seen: number): number {
    if (!this.cache.policy.select.contiguous) return positions[row]
    return this.tokens[index][row] ?? seen - positions.length + row
  }

  private stateOf({ keys, values }: HeldRun): number {
    const name = [keys, values].map((part: PartStorage) => `${part.codec} ${part.bits} ${part.tier ?? ''}`).join('; ')
    let code = this.codes.get(name)
    if (code === undefined) this.codes.set(name, (code = this.history.storage.push({ keys, values })))
    return code
  }
}

function addChanges(changes: number[], head: number, before: Uint8Array, after: Uint8Array): void {
  for (let token = 0; token < after.length;) {
    const first = token,
      state = after[token]
    while (token < after.length && after[token] === state && state !== (before[token] ?? 0)) token++
    if (token > first) changes.push(head, first, token - first, state)
    else token++
  }
}

function grown(old: Float32Array, length: number, fill: number): Float32Array {
  const longer = new Float32Array(length).fill(fill)
  longer.set(old)
  return longer
}
