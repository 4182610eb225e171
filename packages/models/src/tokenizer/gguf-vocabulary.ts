import { ModelFormatError } from '../errors.ts'

/** The vocabulary of a GGUF file. */
export interface GgufVocabulary {
  tokens: string[]
  /** llama.cpp's kinds, see TokenKind. */
  kinds: number[]
  metadata: Record<string, unknown>
}

/** llama.cpp's token types. */
export const TokenKind = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

/** Throws ModelFormatError if there are no tokens. */
export function readVocabulary(metadata: Record<string, unknown>): GgufVocabulary {
  const tokens = metadata['tokenizer.ggml.tokens']
  if (!Array.isArray(tokens) || !tokens.length) throw new ModelFormatError('The GGUF file has no tokenizer.ggml.tokens: fetch it again.')
  const kinds = metadata['tokenizer.ggml.token_type']
  return { tokens: tokens as string[], kinds: Array.isArray(kinds) ? (kinds as number[]) : tokens.map(() => TokenKind.normal), metadata }
}

/** Control and user-defined tokens are found in the text before it is cut into words. */
export function addedTokens(tokens: readonly string[], kinds: readonly number[]): object[] {
  return tokens.flatMap((content, id) => {
    const special = kinds[id] === TokenKind.control || kinds[id] === TokenKind.unknown
    if (!special && kinds[id] !== TokenKind.userDefined) return []
    return [{ id, content, special, single_word: false, lstrip: false, rstrip: false, normalized: false }]
  })
}

/** The post-processor that puts the first and last tokens around a text, as `add_bos_token` and `add_eos_token` say. */
export function around(tokens: readonly string[], metadata: Record<string, unknown>, bosByDefault: boolean): object | null {
  const token = (name: 'bos' | 'eos', otherwise: boolean): { id: string; at: number }[] => {
    const at = Number(metadata[`tokenizer.ggml.${name}_token_id`] ?? -1)
    const wanted = metadata[`tokenizer.ggml.add_${name}_token`] ?? otherwise
    return wanted === true && tokens[at] !== undefined ? [{ id: tokens[at], at }] : []
  }
  const first = token('bos', bosByDefault),
    last = token('eos', false)
  if (!first.length && !last.length) return null
  const special = ({ id }: { id: string }): object => ({ SpecialToken: { id, type_id: 0 } })
  const template = [...first.map(special), { Sequence: { id: 'A', type_id: 0 } }, ...last.map(special)]
  return {
    type: 'TemplateProcessing',
    single: template,
    pair: [...template, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: Object.fromEntries([...first, ...last].map(({ id, at }) => [id, { id, ids: [at], tokens: [id] }])),
  }
}
