import { ContextLengthError } from '../errors.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import type { SequenceCache } from './sequence-cache.ts'

/** How a model is asked to repeat a prompt. */
export interface RepeatRequest {
  /** Asks for the beginning. */
  whole: readonly number[]
  /** Asks for what follows some tokens, which come after it. */
  from: readonly number[]
}

/** The two requests of KVzip (arXiv 2505.23416). */
export function repeatRequest(tokenizer: Tokenizer): RepeatRequest {
  const encode = (text: string): number[] => tokenizer.encode(text, { special: false })
  return {
    whole: encode('\n\nRepeat the previous context exactly.\n'),
    from: encode('\n\nRepeat the part of the previous context exactly, starting with'),
  }
}

/** Tokens that are repeated at a time, and how many of those before lead the model there. */
const CHUNK = 2048
const LEAD = 8

/**
 * Feeds a prompt once more, part by part, each after a request to repeat it; `first` is the part's first token in the prompt. Throws
 * ContextLengthError where the model has no positions left for that.
 */
export async function readAgain(
  cache: SequenceCache,
  tokens: ArrayLike<number>,
  request: RepeatRequest,
  maxPositions: number,
  feed: (part: number[], first: number) => Promise<unknown>,
): Promise<void> {
  const asking = Math.max(request.whole.length, request.from.length + LEAD)
  const chunk = Math.min(CHUNK, maxPositions - cache.length - asking)
  if (chunk < 1)
    throw new ContextLengthError(
      `A prompt of ${tokens.length} tokens leaves no room to repeat it in ${maxPositions} positions: shorten it, or choose a policy that reads it once.`,
      maxPositions,
    )
  const part = (first: number, count: number): number[] => Array.prototype.slice.call(tokens, first, first + count)
  await cache.reconstruct!(chunk, (first, count) => {
    const ask = first === 0 ? request.whole : [...request.from, ...part(Math.max(0, first - LEAD), Math.min(LEAD, first))]
    return feed([...ask, ...part(first, count)], first)
  })
}
