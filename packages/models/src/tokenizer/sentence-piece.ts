import { ModelFormatError } from '../errors.ts'
import { addedTokens, around, TokenKind, type GgufVocabulary } from './gguf-vocabulary.ts'

/**
 * A `tokenizer.json` for SentencePiece BPE. Its merges are not stored but follow from the scores: any two tokens whose
 * concatenation is a token may merge, the best-scored result first.
 */
export function sentencePieceJson({ tokens, kinds, metadata }: GgufVocabulary): object {
  const scores = metadata['tokenizer.ggml.scores']
  if (!Array.isArray(scores) || scores.length !== tokens.length)
    throw new ModelFormatError('The GGUF file has no tokenizer.ggml.scores for its tokens: fetch it again.')
  const unknown = tokens[kinds.indexOf(TokenKind.unknown)] ?? tokens[Number(metadata['tokenizer.ggml.unknown_token_id'] ?? 0)]
  const prefix = metadata['tokenizer.ggml.add_space_prefix'] !== false
  return {
    version: '1.0',
    added_tokens: addedTokens(tokens, kinds),
    normalizer: {
      type: 'Sequence',
      normalizers: [...(prefix ? [{ type: 'Prepend', prepend: '▁' }] : []), { type: 'Replace', pattern: { String: ' ' }, content: '▁' }],
    },
    pre_tokenizer: null,
    post_processor: around(tokens, metadata, true),
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: mergesFromScores(tokens, kinds, scores as number[]),
      unk_token: unknown,
      fuse_unk: true,
      byte_fallback: kinds.includes(TokenKind.byte),
    },
  }
}

/** Pairs of tokens, in the order in which they merge. */
function mergesFromScores(tokens: readonly string[], kinds: readonly number[], scores: readonly number[]): [string, string][] {
  const plain = new Map<string, number>()
  tokens.forEach((token, id) => {
    if (kinds[id] === TokenKind.normal || kinds[id] === TokenKind.userDefined) plain.set(token, id)
  })
  const found: { left: string; right: string; score: number }[] = []
  for (const [token, id] of plain) {
    const points = Array.from(token)
    let left = ''
    for (const point of points.slice(0, -1)) {
      left += point
      const right = token.slice(left.length)
      if (plain.has(left) && plain.has(right)) found.push({ left, right, score: scores[id] })
    }
  }
  return found.sort((a, b) => b.score - a.score || b.left.length - a.left.length).map(({ left, right }) => [left, right])
}
