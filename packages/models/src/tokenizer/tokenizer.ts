import { Tokenizer as Library } from '@huggingface/tokenizers'
import { ModelFormatError, ModelInputError } from '../errors.ts'
import { renderChat, type ChatMessage, type ChatOptions } from './chat-template.ts'
import { createDetokenizer, type Detokenizer } from './detokenizer.ts'

/** What besides `tokenizer.json` belongs to a tokenizer. */
export interface TokenizerExtras {
  /** `tokenizer_config.json`, parsed. */
  config?: Record<string, unknown>
  /** A Jinja template; default: `chat_template` of the config. */
  chatTemplate?: string
}

/** Text to token ids and back. */
export class Tokenizer {
  readonly #library: Library
  readonly #special: ReadonlySet<number>
  readonly #config: Record<string, unknown>
  /** The Jinja template of conversations, if the model has one. */
  readonly chatTemplate: string | undefined

  /** From a parsed `tokenizer.json`. Throws ModelFormatError. */
  constructor(json: object, extras: TokenizerExtras = {}) {
    this.#config = extras.config ?? {}
    this.chatTemplate = extras.chatTemplate ?? defaultTemplate(this.#config.chat_template)
    try {
      this.#library = new Library(json, this.#config)
      const added = [...this.#library.get_added_tokens_decoder().values()]
      this.#special = new Set(added.filter((token) => token.special).map((token) => token.id))
    } catch (cause) {
      throw new ModelFormatError(`The tokenizer cannot be built (${String(cause)}): fetch tokenizer.json again.`, { cause })
    }
  }

  /** Token ids of a text. `special` (default true) adds what the tokenizer puts around a text, such as a first token. */
  encode(text: string, options: { special?: boolean } = {}): number[] {
    if (!text) return this.#library.encode('', { add_special_tokens: options.special ?? true }).ids
    return this.#library.encode(text, { add_special_tokens: options.special ?? true }).ids
  }

  /** The text of tokens, exactly; special tokens leave nothing unless `special` is true. Bytes that form no character give U+FFFD. */
  decode(tokens: ArrayLike<number>, options: { special?: boolean } = {}): string {
    const ids = Array.from(tokens).filter((id) => options.special || !this.#special.has(id))
    return ids.length ? this.#library.decode(ids, { clean_up_tokenization_spaces: false }) : ''
  }

  /** Text of tokens that come one by one, never cutting a character apart. */
  stream(options: { special?: boolean } = {}): Detokenizer {
    return createDetokenizer((tokens) => this.decode(tokens, options))
  }

  /** The text of each token, special ones too; of a character that several tokens make, the last one has it. */
  pieces(tokens: readonly number[]): string[] {
    const stream = this.stream({ special: true })
    return tokens.map((token) => stream.push(token))
  }

  /** The id of a token's exact content, such as '<|im_end|>'. */
  id(content: string): number | undefined {
    return this.#library.token_to_id(content)
  }

  /** A token as the vocabulary spells it. */
  content(id: number): string | undefined {
    return this.#library.id_to_token(id)
  }

  isSpecial(id: number): boolean {
    return this.#special.has(id)
  }

  /** A conversation as the model's prompt. Throws ModelInputError if the model has no template or it refuses the messages. */
  chat(messages: readonly ChatMessage[], options: ChatOptions = {}): string {
    if (!this.chatTemplate) throw new ModelInputError('This model has no chat template: write the prompt yourself, or pass one.')
    const { bos_token: bos, eos_token: eos } = this.#config
    return renderChat(this.chatTemplate, messages, { bos_token: content(bos), eos_token: content(eos) }, options)
  }

  /** Token ids of a conversation. */
  encodeChat(messages: readonly ChatMessage[], options: ChatOptions = {}): number[] {
    return this.encode(this.chat(messages, options), { special: false })
  }
}

function content(token: unknown): string {
  if (typeof token === 'string') return token
  return String((token as { content?: string } | undefined)?.content ?? '')
}

/** A template, or the one named 'default' of several. */
function defaultTemplate(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) return undefined
  const named = value as { name: string; template: string }[]
  return (named.find(({ name }) => name === 'default') ?? named[0])?.template
}
