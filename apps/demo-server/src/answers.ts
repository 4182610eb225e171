import { randomUUID } from 'node:crypto'
import type { Job, Outcome } from './job.ts'

/** How one kind of completions says things. */
export interface AnswerForm {
  whole(text: string, finish: Outcome['finish']): object
  /** What a stream begins with, if anything. */
  first?(): object
  piece(text: string): object
  last(finish: Outcome['finish']): object
}

/** OpenAI's forms of `/v1/completions`. */
export function completionForm(model: string): AnswerForm {
  const head = { id: `cmpl-${randomUUID()}`, object: 'text_completion', created: now(), model }
  const choice = (text: string, finish: string | null): object => ({
    ...head,
    choices: [{ index: 0, text, logprobs: null, finish_reason: finish }],
  })
  return { whole: choice, piece: (text) => choice(text, null), last: (finish) => choice('', finish) }
}

/** OpenAI's forms of `/v1/chat/completions`. */
export function chatForm(model: string): AnswerForm {
  const head = { id: `chatcmpl-${randomUUID()}`, created: now(), model }
  const chunk = (delta: object, finish: string | null): object => ({
    ...head,
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
  })
  return {
    whole: (content, finish) => ({
      ...head,
      object: 'chat.completion',
      choices: [{ index: 0, message: { role: 'assistant', content, refusal: null }, logprobs: null, finish_reason: finish }],
    }),
    first: () => chunk({ role: 'assistant', content: '' }, null),
    piece: (content) => chunk({ content }, null),
    last: (finish) => chunk({}, finish),
  }
}

/** What an answer took, in tokens. */
export function usageOf({ promptTokens, cachedTokens }: Job, { newTokens }: Outcome): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: newTokens,
    total_tokens: promptTokens + newTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  }
}

function now(): number {
  return Math.floor(Date.now() / 1000)
}
