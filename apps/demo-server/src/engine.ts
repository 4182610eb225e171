import { setTimeout } from 'node:timers/promises'
import type { Kernels } from '@kvfold/kernels'
import { compose, KvCache, type Policy, type Registry } from '@kvfold/kv-core'
import { ContextLengthError, type LlamaModel, type SamplingOptions, type Tokenizer } from '@kvfold/models'
import type { Budget, Reservation } from './budget.ts'
import { InvalidRequestError, StoppingError } from './errors.ts'
import { mostBytes } from './estimate.ts'
import { Job, type Start } from './job.ts'
import { Recording } from './recording.ts'
import type { Metrics } from './metrics.ts'
import type { Prefixes } from './prefixes.ts'
import { requestPolicy } from './request-policy.ts'
import type { Session, Sessions } from './sessions.ts'
import type { Turns } from './turns.ts'

/** A model that is ready to run. */
export interface Loaded {
  /** What requests call it. */
  name: string
  model: LlamaModel
  tokenizer: Tokenizer
  kernels: Kernels
}

/** What a request asks for. */
export interface Work {
  /** Policy text. Default: the session's, or `full`. */
  policy?: string
  session?: string
  /** The tokens to be read; `goesOn`: they follow what the session has read. */
  prompt(goesOn: boolean): number[]
  maxTokens: number
  sampling: SamplingOptions
  stops: readonly string[]
  /** Leaves out white space before the first word. */
  trimStart: boolean
  /** Tells with the answer what the cache held all along. */
  history: boolean
}

/** What all requests share. */
export interface Shared extends Loaded {
  registry: Registry
  turns: Turns
  budget: Budget
  prefixes: Prefixes
  sessions: Sessions
  metrics: Metrics
  /** Most tokens of a prompt and its answer. */
  maxContext: number
}

/** Takes requests in: finds what each may go on from, and reserves the memory that it may need. */
export class Engine {
  readonly shared: Shared
  private readonly jobs = new Set<Job>()
  /** Requests that are being admitted. */
  private starting = 0
  /** No more requests are taken. */
  stopping = false

  constructor(shared: Shared) {
    this.shared = shared
  }

  /** Requests at work. */
  get running(): number {
    return this.jobs.size
  }

  /**
   * Admits a request. Close the job when done with it. Throws InvalidRequestError, ContextLengthError, BusyError, SessionBusyError,
   * SessionLostError, StoppingError, and what a policy's text may be wrong in.
   */
  async start(work: Work, signal: AbortSignal): Promise<Job> {
    if (this.stopping) throw new StoppingError()
    this.starting++
    try {
      return await this.admit(work, signal)
    } finally {
      this.starting--
    }
  }

  private async admit(work: Work, signal: AbortSignal): Promise<Job> {
    const { registry, sessions } = this.shared
    const asked = work.policy === undefined ? undefined : requestPolicy(registry, work.policy)
    const id = work.session
    const session = id === undefined ? undefined : await sessions.begin(id)
    const leave = (): void => {
      if (id !== undefined) sessions.end(id)
    }
    try {
      const start = session ? await this.goOn(work, session, asked) : await this.begin(work, asked ?? compose())
      const job = new Job(this.shared, work, start, signal, () => {
        this.jobs.delete(job)
        leave()
      })
      this.jobs.add(job)
      return job
    } catch (error) {
      leave()
      throw error
    }
  }

  /** A session's next turn, on a fork: one that fails leaves the session as it was. */
  private async goOn(work: Work, session: Session, asked: Policy | undefined): Promise<Start> {
    const { model, sessions } = this.shared
    const { policy, tokens: before, bytes, cache: inMemory, recording } = session
    if (asked && asked.text !== policy.text)
      throw new InvalidRequestError(
        `The session "${session.id}" was begun under ${policy.text}: go on under that, or begin another session.`,
        'kv_policy',
      )
    const tokens = [...session.unread, ...work.prompt(true)]
    const made = this.room(work, tokens, before)
    const most = mostBytes(model, policy, { seen: before, held: bytes, fresh: tokens.length, made })
    const reservation = await this.reserve(most + (inMemory ? 0 : bytes))
    try {
      const cache = (await sessions.wake(session)).fork()
      reservation.bytes = most
      return { policy, cache, tokens, before, from: 0, maxTokens: made, reservation, recording: recording?.fork(cache) }
    } catch (error) {
      reservation.release()
      throw error
    }
  }

  /** A prompt of its own, from the longest snapshot that it begins with. */
  private async begin(work: Work, policy: Policy): Promise<Start> {
    const { model, kernels, prefixes, metrics, tokenizer } = this.shared
    const tokens = work.prompt(false)
    const maxTokens = this.room(work, tokens, 0)
    // A history begins with the first token.
    const find = (): ReturnType<Prefixes['find']> => (work.history ? undefined : prefixes.find(policy.text, tokens))
    for (;;) {
      const found = find()
      const from = found?.length ?? 0
      const demand = { seen: from, held: found?.cache.ledger().bytes ?? 0, fresh: tokens.length - from, made: maxTokens }
      const reservation = await this.reserve(mostBytes(model, policy, demand))
      try {
        // Room was made of what it would go on from.
        if (find() !== found) {
          reservation.release()
          continue
        }
        const cache = found ? found.cache.fork() : new KvCache(model.shape, { policy, kernels, model, trace: work.history })
        const recording = work.history ? new Recording(cache, tokenizer) : undefined
        metrics.prefixes.inc({ found: found ? 'yes' : 'no' })
        const logits = from === tokens.length ? found?.logits : undefined
        return { policy, cache, tokens, before: 0, from, logits, maxTokens, reservation, recording }
      } catch (error) {
        reservation.release()
        throw error
      }
    }
  }

  /** The most tokens that may be made. Throws where the prompt itself is too short or too long. */
  private room({ maxTokens }: Work, tokens: readonly number[], before: number): number {
    const { maxContext } = this.shared
    if (tokens.length === 0) throw new InvalidRequestError('There is nothing to read: send a prompt that is not empty.', 'prompt')
    const left = maxContext - before - tokens.length
    if (left < 1)
      throw new ContextLengthError(
        `The prompt has ${before + tokens.length} tokens, and this server takes ${maxContext}, one of the answer included: send a shorter one.`,
        maxContext,
      )
    return Math.min(maxTokens, left)
  }

  private async reserve(bytes: number): Promise<Reservation> {
    const { budget, prefixes, sessions } = this.shared
    return budget.reserve(bytes, async () => (await prefixes.drop()) || (await sessions.moveOldest()))
  }

  private get working(): boolean {
    return this.jobs.size > 0 || this.starting > 0
  }

  /** Takes no more requests, and waits for those at work: `grace` milliseconds long, then they end. */
  async stop(grace: number): Promise<void> {
    this.stopping = true
    const end = performance.now() + grace
    while (this.working && performance.now() < end) await setTimeout(20)
    while (this.working) {
      for (const job of this.jobs) job.abort(new StoppingError())
      await setTimeout(5)
    }
  }
}
