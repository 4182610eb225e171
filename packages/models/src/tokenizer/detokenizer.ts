/** Turns tokens that come one by one into text. */
export interface Detokenizer {
  /** The text that is certain now; '' while a character is incomplete. */
  push(token: number): string
  /** What is left, U+FFFD for an incomplete character. */
  end(): string
}

/**
 * Decodes a sliding window: the tokens since the last text that was given out, after those of that text. (Decoders treat the
 * first token specially, and a character may span several tokens.)
 */
export function createDetokenizer(decode: (tokens: number[]) => string): Detokenizer {
  let given: number[] = [],
    pending: number[] = []
  const fresh = (): string => decode([...given, ...pending]).slice(decode(given).length)
  const take = (text: string): string => {
    if (text) [given, pending] = [pending, []]
    return text
  }
  return {
    push(token) {
      pending.push(token)
      const text = fresh()
      return text.endsWith('\ufffd') ? '' : take(text)
    },
    end: () => take(fresh()),
  }
}
