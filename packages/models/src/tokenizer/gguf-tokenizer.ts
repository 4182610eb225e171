import { UnsupportedModelError } from '../errors.ts'
import { byteLevelJson } from './byte-level.ts'
import { readVocabulary } from './gguf-vocabulary.ts'
import { sentencePieceJson } from './sentence-piece.ts'
import { Tokenizer } from './tokenizer.ts'

/**
 * The tokenizer in a GGUF file's metadata: byte-level BPE (`gpt2`) of the kinds in PRE_TOKENIZERS, or SentencePiece BPE (`llama`).
 * Undefined if the file has none. Throws UnsupportedModelError, ModelFormatError.
 */
export function tokenizerFromGguf(metadata: Record<string, unknown>): Tokenizer | undefined {
  const model = metadata['tokenizer.ggml.model']
  if (model === undefined || model === 'none' || model === 'no_vocab') return undefined
  const vocabulary = readVocabulary(metadata)
  if (model !== 'gpt2' && model !== 'llama')
    throw new UnsupportedModelError(`Tokenizer '${String(model)}' is not supported in GGUF files: use gpt2 or llama.`)
  const json = model === 'gpt2' ? byteLevelJson(vocabulary) : sentencePieceJson(vocabulary)
  const token = (name: string): string | undefined => vocabulary.tokens[Number(metadata[`tokenizer.ggml.${name}_token_id`] ?? -1)]
  const template = metadata['tokenizer.chat_template']
  return new Tokenizer(json, {
    config: { bos_token: token('bos'), eos_token: token('eos'), unk_token: token('unknown') },
    ...(typeof template === 'string' && { chatTemplate: template }),
  })
}
