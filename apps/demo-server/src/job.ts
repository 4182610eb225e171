import { createRandom, type KvCache, type Policy } from '@kvfold/kv-core'
import { sample } from '@kvfold/models'
import type { Reservation } from './budget.ts'
import type { Shared, Work } from './engine.ts'
import { stepBytes } from './estimate.ts'
import { readPrompt } from './read-prompt.ts'
import type { HeldBytes, Recorded, Recording } from './recording.ts'
import { sharedCache } from './shared-cache.ts'
import { StopText } from './stop-text.ts'

/** Where a request begins. */
export interface Start {
  policy: Policy
  cache: KvCache
  /** To be read, and how many of them the cache has read already; `logits` of the last if that is all. */
  tokens: readonly number[]
  from: number
  logits?: Float32Array
  /** Tokens that the session read before these. */
  before: number
  maxTokens: number
  reservation: Reservation
  /** Goes on from turn to turn, whether or not a turn asks for it. */
  recording?: Recording
}

/** Bytes and rows of a request's cache: see README. */
export interface KvReport {
  policy: string
  bytes: number
  peakBytes: number
  fullF16Bytes: number
  fullF32Bytes: number
  rows: number
  /** For a request that asks for its history; null in a session that began without one, or was on the disk. */
  history?: Recorded['history'] | null
  pieces?: Recorded['pieces'] | null
}

export interface Outcome {
  /** A stop token or a stop text came, or there was no room for more tokens. */
  finish: 'stop' | 'length'
  newTokens: number
  kv: KvReport
}

/** A request that was admitted: its memory is reserved, and its text can be asked for, once. */
export class Job {
  /** Tokens of the whole prompt, and how many of them were not read anew. */
  readonly promptTokens: number
  readonly cachedTokens: number
  private readonly shared: Shared
  private readonly work: Work
  private readonly start: Start
  private readonly onClose: () => void
  private readonly abortion = new AbortController()
  private readonly signal: AbortSignal
  private readonly began = performance.now()
  private working: Promise<unknown> = Promise.resolve()
  private closed = false
  /** A session took the cache over. */
  private kept = false

  constructor(shared: Shared, work: Work, start: Start, signal: AbortSignal, onClose: () => void) {
    const { cache, reservation, before, from, tokens } = start
    this.shared = shared
    this.work = work
    this.start = start
    this.onClose = onClose
    this.signal = AbortSignal.any([signal, this.abortion.signal])
    this.promptTokens = before + tokens.length
    this.cachedTokens = before + from
    reservation.cache = cache
    reservation.from = cache.ledger().bytes
  }

  /** Yields the answer piece by piece. Whoever asks slowly holds up nobody. Throws the signal's reason. */
  async *text(): AsyncGenerator<string, Outcome, undefined> {
    const { work, start, shared } = this
    const { model, tokenizer, turns, metrics } = shared
    const { cache, maxTokens, recording, policy } = start
    const seen = sharedCache(cache, turns)
    let logits = await this.busy(this.read(seen))
    const stream = tokenizer.stream()
    const stop = new StopText(work.stops, work.trimStart)
    const random = createRandom(work.sampling.seed ?? 0)
    let made = 0,
      last = this.began,
      unread: number[] = []
    let finish: Outcome['finish'] = 'length'
    while (made < maxTokens) {
      const token = sample(logits, work.sampling, random)
      this.measure(made, last)
      last = performance.now()
      if (model.config.eos.includes(token)) {
        finish = 'stop'
        unread = []
        break
      }
      made++
      unread = [token]
      const piece = stop.push(stream.push(token))
      if (piece) yield piece
      if (stop.ended) finish = 'stop'
      if (stop.ended || made === maxTokens) break
      this.signal.throwIfAborted()
      logits = await this.busy(turns.run('token', () => model.forward([token], seen, { signal: this.signal })))
      recording?.read([token])
    }
    const rest = stop.push(stream.end()) + stop.end()
    if (rest) yield rest
    metrics.tokens.inc({ kind: 'made' }, made)
    const kv = this.report()
    if (work.session !== undefined) {
      this.kept = true
      await shared.sessions.put(work.session, { policy, cache, recording, unread })
    }
    return { finish, newTokens: made, kv }
  }

  /** What the cache holds between two pieces of the text, for a request that asks for its history. */
  get held(): HeldBytes | undefined {
    return this.work.history ? this.start.recording?.now() : undefined
  }

  private measure(made: number, since: number): void {
    const { ttft, perToken } = this.shared.metrics
    ;(made === 0 ? ttft : perToken).observe((performance.now() - since) / 1000)
  }

  /** The logits after the prompt. */
  private async read(seen: KvCache): Promise<Float32Array> {
    const { shared, signal } = this
    const { model, metrics, prefixes, budget } = shared
    const { cache, policy, tokens, from, before, reservation, maxTokens, recording } = this.start
    // A fork of what is recorded would record as well.
    const keep = before === 0 && !recording
    const logits = this.start.logits ?? (await readPrompt(shared, { cache, shared: seen, policy, signal, keep }, tokens, from))
    recording?.read(tokens.slice(from))
    metrics.tokens.inc({ kind: 'read' }, tokens.length - from)
    metrics.tokens.inc({ kind: 'reused' }, before + from)
    // The prompt is compressed: what the request may still add is known better now.
    const { bytes, columns } = cache.ledger()
    const grown = Math.max(0, bytes - reservation.from)
    const rewritten = policy.text === 'full' ? 0 : bytes
    const shares = reservation.from > 0 ? rewritten : 0
    reservation.bytes = Math.min(reservation.bytes, grown + shares + stepBytes(model, policy, this.promptTokens, maxTokens))
    if (keep && !prefixes.has(policy.text, tokens) && budget.free >= columns + logits.byteLength + rewritten) {
      prefixes.keep(policy.text, tokens, tokens.length, cache, logits)
      reservation.bytes += rewritten - shares
    }
    return logits
  }

  private report(): KvReport {
    const { cache, policy, recording } = this.start
    const { bytes, peakBytes, fullF16Bytes, fullF32Bytes, rows } = cache.ledger()
    const recorded = this.work.history ? (recording?.report() ?? { history: null, pieces: null }) : {}
    return { policy: policy.text, bytes, peakBytes, fullF16Bytes, fullF32Bytes, rows, ...recorded }
  }

  /** Remembers what must end before the cache can go. */
  private async busy<T>(work: Promise<T>): Promise<T> {
    this.working = work
    return work
  }

  /** Ends the work at its next step. */
  abort(reason: Error): void {
    this.abortion.abort(reason)
  }

  /** Ends the work, and frees what no session keeps. May be called twice. */
  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    const { cache, reservation } = this.start
    this.abort(new Error('closed'))
    await this.working.catch(() => {})
    reservation.release()
    if (!this.kept) await cache.dispose()
    this.onClose()
  }
}
