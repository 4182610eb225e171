import { fill, firstTokens, TASK_TEXT } from '@kvfold/eval'
import type { ChatMessage, Tokenizer } from '@kvfold/models'

/** Stands for an answer that was given before: characters that no text has. */
const ANSWER = '\uE000\uE001'

/** Tokens of a text; `goesOn`: it follows what a session has read, so nothing comes before it. */
export function textTokens(tokenizer: Tokenizer, text: string, goesOn: boolean): number[] {
  return [...(goesOn ? [] : firstTokens(TASK_TEXT, tokenizer)), ...encode(tokenizer, text)]
}

/**
 * Tokens of a conversation, by the model's chat template. `goesOn`: of the messages that follow the answer a session gave last.
 *
 * Without a template, in the form that the reference model was taught: a document, and questions about it. What users write after their
 * last empty line is a question; what comes before it, and all that the system says, is the document.
 */
export function chatTokens(tokenizer: Tokenizer, messages: readonly ChatMessage[], goesOn: boolean): number[] {
  if (!tokenizer.chatTemplate) {
    const pieces = messages.flatMap((message) => plainPieces(message))
    // What a conversation begins with needs no distance from what came before.
    if (!goesOn && pieces.length > 0) pieces[0] = pieces[0].trimStart()
    // Piece by piece, so that prompts which begin with the same messages begin with the same tokens.
    return [...(goesOn ? [] : firstTokens(TASK_TEXT, tokenizer)), ...pieces.flatMap((piece) => encode(tokenizer, piece))]
  }
  if (!goesOn) return tokenizer.encodeChat(messages)
  const before = [
    { role: 'user', content: 'x' },
    { role: 'assistant', content: ANSWER },
  ]
  const text = tokenizer.chat([...before, ...messages])
  return encode(tokenizer, text.slice(text.lastIndexOf(ANSWER) + ANSWER.length))
}

function plainPieces({ role, content }: ChatMessage): string[] {
  const distance = '\n\n'
  if (role === 'assistant') return [` ${content}`]
  if (role !== 'user') return [distance + content]
  const text = content.trimEnd()
  const cut = text.lastIndexOf(distance)
  const question = fill(TASK_TEXT.prompt.question, {
    question: text.slice(cut < 0 ? 0 : cut + distance.length),
    answerPrefix: '',
  }).trimEnd()
  return cut < 0 ? [question] : [distance + text.slice(0, cut), question]
}

/** Where a model without a template ends its answers: it was taught to answer in one line. */
export function defaultStops(tokenizer: Tokenizer): string[] {
  return tokenizer.chatTemplate ? [] : ['\n']
}

function encode(tokenizer: Tokenizer, text: string): number[] {
  return text === '' ? [] : tokenizer.encode(text, { special: false })
}
