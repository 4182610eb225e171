import { fill, firstTokens, TASK_TEXT } from '@kvfold/eval'
import type { Tokenizer } from '@kvfold/models'

/** A document as the reference model was taught to read it. */
export function documentTokens(tokenizer: Tokenizer, text: string): number[] {
  return [...firstTokens(TASK_TEXT, tokenizer), ...tokenizer.encode(text, { special: false })]
}

/** A question about what was read before, up to where its answer begins. */
export function questionTokens(tokenizer: Tokenizer, question: string): number[] {
  return tokenizer.encode(fill(TASK_TEXT.prompt.question, { question, answerPrefix: '' }).trimEnd(), { special: false })
}
