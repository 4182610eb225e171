import { ModelFormatError, UnsupportedModelError } from '../errors.ts'
import { addedTokens, around, type GgufVocabulary } from './gguf-vocabulary.ts'
import { PRE_TOKENIZERS } from './pre-tokenizers.ts'

/** A `tokenizer.json` for byte-level BPE. */
export function byteLevelJson({ tokens, kinds, metadata }: GgufVocabulary): object {
  const name = String(metadata['tokenizer.ggml.pre'] ?? 'default')
  const pre = PRE_TOKENIZERS[name]
  if (!pre)
    throw new UnsupportedModelError(`Pre-tokenizer '${name}' is not supported: use one of ${Object.keys(PRE_TOKENIZERS).join(', ')}.`)
  const merges = metadata['tokenizer.ggml.merges']
  if (!Array.isArray(merges)) throw new ModelFormatError('The GGUF file has no tokenizer.ggml.merges: fetch it again.')
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }
  return {
    version: '1.0',
    added_tokens: addedTokens(tokens, kinds),
    normalizer: pre.normalize ? { type: 'NFC' } : null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        ...pre.patterns.map((Regex) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false })),
        byteLevel,
      ],
    },
    // Llama 3 files of some converters lack the flag; the model expects its first token all the same.
    post_processor: around(tokens, metadata, Boolean(pre.ignoreMerges && name.startsWith('llama'))),
    decoder: byteLevel,
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
      ignore_merges: pre.ignoreMerges ?? false,
      byte_fallback: false,
      fuse_unk: false,
    },
  }
}
