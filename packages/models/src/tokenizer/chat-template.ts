import { Template } from '@huggingface/jinja'
import { ModelInputError } from '../errors.ts'

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool' | (string & {})
  content: string
}

export interface ChatOptions {
  /** End with the opening of an answer. Default true. */
  generationPrompt?: boolean
  /** More variables for the template, such as `enable_thinking`. */
  variables?: Record<string, unknown>
}

/** Renders a Hugging Face chat template. `tokens` are `bos_token` and `eos_token`. Throws ModelInputError with the template's reason. */
export function renderChat(
  template: string,
  messages: readonly ChatMessage[],
  tokens: { bos_token: string; eos_token: string },
  options: ChatOptions = {},
): string {
  try {
    return new Template(template).render({
      ...tokens,
      messages,
      add_generation_prompt: options.generationPrompt ?? true,
      ...options.variables,
    })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new ModelInputError(`The chat template refuses these messages (${why}): change their roles or order.`)
  }
}
