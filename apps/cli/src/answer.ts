import { KvCache, type Ledger, type Policy } from '@kvfold/kv-core'
import type { Prompt } from '@kvfold/eval'
import { ContextLengthError, generate, type SamplingOptions } from '@kvfold/models'
import type { Loaded } from './load.ts'

export interface AnswerOptions {
  maxTokens: number
  questionAware: boolean
  sampling?: SamplingOptions
  signal?: AbortSignal
  /** A base model answers in one line. */
  oneLine?: boolean
  onPrefill?: (progress: { done: number; total: number }) => void
  onText?: (text: string) => void
}

/** An answer, and what it took. */
export interface Answer {
  text: string
  tokens: number[]
  promptTokens: number
  /** The prompt's layers. */
  prefillMs: number
  /** From the start to the first new token. */
  ttftMs: number
  decodeMsPerToken: number
  ledger: Ledger
  /** What the cache says about how the policy ran. */
  notices: readonly string[]
}

/** Answers a prompt under a policy. Without `questionAware` the context is compressed before the question is read. */
export async function answer(
  { model, tokenizer, kernels }: Loaded,
  policy: Policy,
  prompt: Prompt,
  options: AnswerOptions,
): Promise<Answer> {
  const { maxTokens, questionAware, sampling, signal, onPrefill, onText } = options
  const promptTokens = prompt.context.length + prompt.question.length
  if (promptTokens >= model.maxPositions)
    throw new ContextLengthError(
      `The prompt has ${promptTokens} tokens, and this model knows ${model.maxPositions} positions: give a shorter text.`,
      model.maxPositions,
    )
  const cache = new KvCache(model.shape, { policy, kernels })
  try {
    const start = performance.now()
    let prefilledAt = start
    const onProgress = (progress: { done: number; total: number }): void => {
      prefilledAt = performance.now()
      onPrefill?.(progress)
    }
    const first = questionAware ? [...prompt.context, ...prompt.question] : prompt.question
    if (!questionAware) await model.forward(prompt.context, cache, { logits: 'none', signal, onProgress })
    let last = 0
    const steps = generate(model, cache, first, {
      maxTokens,
      sampling,
      signal,
      onProgress: (progress) => {
        // Decode steps report too: only the prompt counts here.
        if (last === 0) onProgress(questionAware ? progress : { done: 1, total: 1 })
      },
    })
    const stream = tokenizer.stream()
    const tokens: number[] = []
    let text = '',
      firstAt = 0
    for (;;) {
      const { value, done } = await steps.next()
      last = performance.now()
      firstAt ||= last
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
    const decoded = Math.max(1, tokens.length - 1)
    return {
      text: text.trim(),
      tokens,
      promptTokens,
      prefillMs: prefilledAt - start,
      ttftMs: firstAt - start,
      decodeMsPerToken: tokens.length > 1 ? (last - firstAt) / decoded : 0,
      ledger: cache.ledger(),
      notices: cache.notices,
    }
  } finally {
    await cache.dispose()
  }
}
