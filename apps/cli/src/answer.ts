import { KvCache, type Ledger, type Policy } from '@kvfold/kv-core'
import { type CacheHistory, HistoryRecorder } from '@kvfold/kv-core/history'
import type { Prompt } from '@kvfold/eval'
import { ContextLengthError, generate, type SamplingOptions } from '@kvfold/models'
import type { Loaded } from './load.ts'

export interface AnswerOptions {
  maxTokens: number
  sampling?: SamplingOptions
  signal?: AbortSignal
  /** A base model answers in one line. */
  oneLine?: boolean
  onPrefill?: (progress: { done: number; total: number }) => void
  onText?: (text: string) => void
  /** Called whenever the cache has read tokens; its time is not the answer's. */
  onRead?: () => void
}

/** An answer, and what it took. */
export interface Answer {
  text: string
  tokens: number[]
  promptTokens: number
  /** From the start to the end of the prompt's layers. */
  prefillMs: number
  /** From the start to the first new token. */
  ttftMs: number
  decodeMsPerToken: number
  ledger: Ledger
  /** What the cache says about how the policy ran. */
  notices: readonly string[]
  /** What the cache held all along, if that was to be recorded. */
  history?: CacheHistory
}

/** Answers a prompt under a policy. Without `questionAware` the context is compressed before the question is read; `record`: with its history. */
export async function answer(
  loaded: Loaded,
  policy: Policy,
  { context, question }: Prompt,
  options: AnswerOptions & { questionAware: boolean; record: boolean },
): Promise<Answer> {
  const { model, kernels } = loaded
  const { questionAware, record, signal, onPrefill: onProgress } = options
  checkLength(model, context.length + question.length)
  const start = performance.now()
  const cache = new KvCache(model.shape, { policy, kernels, model, trace: record })
  const recorder = record ? new HistoryRecorder(cache) : undefined
  const onRead = (): void => recorder?.look()
  try {
    if (!questionAware) await model.forward(context, cache, { logits: 'none', signal, onProgress })
    const readAt = performance.now()
    if (!questionAware) onRead()
    const asked = questionAware ? [...context, ...question] : question
    const aside = performance.now() - readAt
    return { ...(await ask(loaded, cache, asked, { ...options, onRead, start: start + aside })), history: recorder?.history }
  } finally {
    await cache.dispose()
  }
}

/** Throws ContextLengthError if the model does not know so many positions, and one more. */
export function checkLength({ maxPositions }: Loaded['model'], tokens: number): void {
  if (tokens >= maxPositions)
    throw new ContextLengthError(
      `The prompt has ${tokens} tokens, and this model knows ${maxPositions} positions: give a shorter text.`,
      maxPositions,
    )
}

/** Answers what is asked after the tokens that a cache has read. `start`: when the answer began to be made. */
export async function ask(
  { model, tokenizer }: Loaded,
  cache: KvCache,
  asked: readonly number[],
  options: AnswerOptions & { start: number },
): Promise<Answer> {
  const { start, maxTokens, sampling, signal, onPrefill, onText, onRead } = options
  const promptTokens = cache.length + asked.length
  const isFirst = cache.length === 0
  let prefilledAt = start,
    last = 0
  const steps = generate(model, cache, asked, {
    maxTokens,
    sampling,
    signal,
    onProgress: (progress) => {
      // Decode steps report too: only the prompt counts here.
      if (last > 0) return
      prefilledAt = performance.now()
      onPrefill?.(isFirst ? progress : { done: 1, total: 1 })
    },
  })
  const stream = tokenizer.stream()
  const tokens: number[] = []
  let text = '',
    firstAt = 0,
    decodeMs = 0
  for (;;) {
    const before = performance.now(),
      read = cache.length
    const { value, done } = await steps.next()
    last = performance.now()
    if (firstAt > 0) decodeMs += last - before
    firstAt ||= last
    if (cache.length > read) onRead?.()
    if (done) break
    tokens.push(value.token)
    const piece = stream.push(value.token)
    const end = options.oneLine ? piece.indexOf('\n') : -1
    const shown = end < 0 ? piece : piece.slice(0, end)
    text += shown
    if (shown) onText?.(shown)
    if (end >= 0 && text.trim() !== '') break
  }
  const rest = stream.end()
  text += rest
  if (rest) onText?.(rest)
  return {
    text: text.trim(),
    tokens,
    promptTokens,
    prefillMs: prefilledAt - start,
    ttftMs: firstAt - start,
    decodeMsPerToken: tokens.length > 1 ? decodeMs / (tokens.length - 1) : 0,
    ledger: cache.ledger(),
    notices: cache.notices,
  }
}
