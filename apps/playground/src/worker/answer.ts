import type { KvCache } from '@kvfold/kv-core'
import type { HistoryRecorder } from '@kvfold/kv-core/history'
import { generate } from '@kvfold/models'
import type { Kept, Stats } from '../engine/engine.ts'
import { heldIn } from './held-in.ts'
import type { Loaded } from './loaded.ts'
import { pausingCache } from './pausing-cache.ts'
import { chunkOf, progressEvents, type SideOptions } from './read-cache.ts'
import { Stopwatch } from './stopwatch.ts'

/** Most tokens of an answer. */
const MOST = 64

/** Where an answer begins. */
export interface AnswerStart {
  /** Disposed when the answer is done with. */
  cache: KvCache
  recorder?: HistoryRecorder
  /** What is read before the answer: a question, or a document and a question. */
  asked: readonly number[]
  /** Text of the tokens that the cache has read already. */
  pieces: readonly string[]
  documentTokens: number
  /** What reading these took, and whether that was done for another question. */
  readMs: number
  reused: boolean
}

/** One side's answer, made token by token when it is told to. */
export class Answer {
  private readonly start: AnswerStart
  private readonly options: SideOptions
  private readonly watch = new Stopwatch()
  private readonly steps: ReturnType<typeof generate>
  private readonly stream
  private readonly pieces: string[]
  private readonly times: number[] = []
  private readonly before: number
  private text = ''
  private promptMs = 0

  constructor(loaded: Loaded, start: AnswerStart, options: SideOptions) {
    this.start = start
    this.options = options
    this.before = start.reused ? 0 : start.readMs
    this.pieces = [...start.pieces, ...loaded.tokenizer.pieces(start.asked)]
    this.stream = loaded.tokenizer.stream()
    const { cache, asked } = start
    const chunk = chunkOf(cache.policy)
    const onProgress = start.pieces.length === 0 ? progressEvents(cache, this.watch, options.side, options.onEvent) : undefined
    this.steps = generate(loaded.model, pausingCache(cache, this.watch), asked, {
      maxTokens: MOST,
      chunk,
      signal: options.signal,
      onProgress,
    })
  }

  /** Makes one more token; false when the answer is complete. */
  async step(): Promise<boolean> {
    const { watch, times, start } = this
    const began = watch.ms
    const { value, done } = await watch.time(() => this.steps.next())
    const ms = watch.ms - began
    const isFirst = times.length === 0
    if (isFirst) this.promptMs = ms
    start.recorder?.look()
    if (done) return this.end()
    times.push(ms)
    const piece = this.stream.push(value.token)
    this.pieces.push(piece)
    // The model was taught to answer in one line.
    const line = piece.indexOf('\n')
    this.say(line < 0 ? piece : piece.slice(0, line), ms)
    return line < 0 || this.text.trim() === '' || this.end()
  }

  /** What it took. */
  get stats(): Stats {
    const { start, times } = this
    const { cache } = start
    const { bytes, peakBytes, fullF32Bytes, rows } = cache.ledger()
    const decoded = times.slice(1)
    return {
      policy: cache.policy.text,
      promptTokens: start.pieces.length + start.asked.length,
      newTokens: times.length,
      readMs: start.readMs + this.promptMs,
      reused: start.reused,
      msPerToken: decoded.length > 0 ? decoded.reduce((sum, ms) => sum + ms, 0) / decoded.length : 0,
      bytes,
      peakBytes,
      fullF32Bytes,
      rows,
      notices: cache.notices,
    }
  }

  /** What was kept, if that was recorded. */
  get kept(): Kept | undefined {
    const { recorder, documentTokens } = this.start
    return recorder && { history: recorder.history.toJSON(), pieces: this.pieces, documentTokens }
  }

  async dispose(): Promise<void> {
    await this.start.cache.dispose()
  }

  private end(): false {
    const rest = this.stream.end()
    if (rest.trim() !== '') this.say(rest, 0)
    return false
  }

  private say(piece: string, ms: number): void {
    const { side, onEvent } = this.options
    const text = this.text === '' ? piece.trimStart() : piece
    this.text += text
    onEvent({ type: 'token', side, text, ms, at: this.before + this.watch.ms, held: heldIn(this.start.cache) })
  }
}
