import { fill, firstTokens, TASK_TEXT, type Prompt } from '@kvfold/eval'
import type { Tokenizer } from '@kvfold/models'

/** Stands where the question will be: a character that no text has. */
const QUESTION = '\uE000'

/** A document and a question, as the model was taught to read them: with its chat template if it has one. */
export function questionPrompt(tokenizer: Tokenizer, document: string, question: string): Prompt & { chat: boolean } {
  return {
    chat: tokenizer.chatTemplate !== undefined,
    context: contextTokens(tokenizer, document),
    question: questionTokens(tokenizer, question),
  }
}

/** What comes before a question about a document. */
export function contextTokens(tokenizer: Tokenizer, document: string): number[] {
  if (tokenizer.chatTemplate) return encode(tokenizer, chat(tokenizer, document)[0])
  return [...firstTokens(TASK_TEXT, tokenizer), ...encode(tokenizer, document)]
}

/** A question about what was read before, up to where its answer begins. */
export function questionTokens(tokenizer: Tokenizer, question: string): number[] {
  if (tokenizer.chatTemplate) return encode(tokenizer, question + chat(tokenizer, 'document')[1])
  return encode(tokenizer, fill(TASK_TEXT.prompt.question, { question, answerPrefix: '' }).trimEnd())
}

/** The template's text before and after the question. */
function chat(tokenizer: Tokenizer, document: string): [string, string] {
  const whole = tokenizer.chat([{ role: 'user', content: `${document}\n\n${QUESTION}` }])
  const cut = whole.lastIndexOf(QUESTION)
  return [whole.slice(0, cut), whole.slice(cut + QUESTION.length)]
}

function encode(tokenizer: Tokenizer, text: string): number[] {
  return tokenizer.encode(text, { special: false })
}
