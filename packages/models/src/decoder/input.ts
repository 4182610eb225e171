import { ContextLengthError, ModelInputError } from '../errors.ts'

/** Throws before anything changes: ModelInputError on bad tokens or options, ContextLengthError on too many. */
export function checkInput(tokens: ArrayLike<number>, seen: number, vocabulary: number, maxPositions: number): void {
  if (!tokens.length) throw new ModelInputError('There are no tokens: give at least one.')
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]
    if (!Number.isInteger(token) || token < 0 || token >= vocabulary)
      throw new ModelInputError(`Token ${token} at index ${i} is outside the vocabulary: give ids from 0 to ${vocabulary - 1}.`)
  }
  if (seen + tokens.length > maxPositions)
    throw new ContextLengthError(
      `${seen + tokens.length} positions are more than the model's ${maxPositions}: shorten the prompt.`,
      maxPositions,
    )
}

/** A chunk size of at least 1. Throws ModelInputError. */
export function checkChunk(chunk: number): number {
  if (!Number.isInteger(chunk) || chunk < 1) throw new ModelInputError(`chunk is ${chunk}: give a whole number of at least 1.`)
  return chunk
}
