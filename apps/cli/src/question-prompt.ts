import { fill, firstTokens, TASK_TEXT, type Prompt } from '@kvfold/eval'
import type { Tokenizer } from '@kvfold/models'

/** A document and a question, as the model was taught to read them: with its chat template if it has one. */
export function questionPrompt(tokenizer: Tokenizer, document: string, question: string): Prompt & { chat: boolean } {
  if (tokenizer.chatTemplate) {
    const whole = tokenizer.chat([{ role: 'user', content: `${document}\n\n${question}` }])
    const cut = whole.lastIndexOf(question)
    return { chat: true, context: encode(tokenizer, whole.slice(0, cut)), question: encode(tokenizer, whole.slice(cut)) }
  }
  const asked = fill(TASK_TEXT.prompt.question, { question, answerPrefix: '' }).trimEnd()
  return {
    chat: false,
    context: [...firstTokens(TASK_TEXT, tokenizer), ...encode(tokenizer, document)],
    question: encode(tokenizer, asked),
  }
}

function encode(tokenizer: Tokenizer, text: string): number[] {
  return tokenizer.encode(text, { special: false })
}
