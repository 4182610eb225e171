import type { Pool } from './pool.ts'
import { fill, type TaskText } from './task-text.ts'

/** What is asked, up to where the answer starts, and what a right answer contains. */
export interface Question {
  prompt: string
  answer: string
  references: string[]
}

/** Facts to be planted in this order, and the questions about them. */
export interface Facts {
  facts: string[]
  questions: Question[]
  maxNewTokens: number
}

function question(
  text: TaskText,
  task: string,
  values: Record<string, string>,
  answer: Record<string, string>,
  references: string[],
): Question {
  const t = text.tasks[task]
  const answerPrefix = fill(t.answerPrefix, values)
  return {
    prompt: fill(text.prompt.question, { question: fill(t.question, values), answerPrefix }),
    answer: fill(t.answer, answer),
    references,
  }
}

/** `count` facts, each about a key of its own: numbers or words. */
export function needles(text: TaskText, pool: Pool, task: 'needle-number' | 'needle-word', count: number): Facts {
  const t = text.tasks[task]
  const keys = pool.distinct(() => pool.key(), count)
  const values = t.digits ? keys.map(() => pool.number(t.digits!)) : pool.words(count)
  return {
    facts: keys.map((key, i) => fill(t.fact, { key, value: values[i] })),
    questions: keys.map((key, i) => question(text, task, { key }, { value: values[i] }, [values[i]])),
    maxNewTokens: t.maxNewTokens,
  }
}

/** Records of one number under another. */
export function keyValues(text: TaskText, pool: Pool): Facts {
  const t = text.tasks['key-value']
  const pairs = pool.distinct(() => pool.number(t.keyDigits!), t.pairs!).map((key) => ({ key, value: pool.number(t.digits!) }))
  return {
    facts: pairs.map((pair) => fill(t.fact, pair)),
    questions: pairs.map(({ key, value }) => question(text, 'key-value', { key }, { value }, [value])),
    maxNewTokens: t.maxNewTokens,
  }
}

/** A value that is copied from place to place: which places hold it? */
export function variableChain(text: TaskText, pool: Pool): Facts {
  const t = text.tasks['variable-chain']
  const names = pool.words(t.hops! + 1)
  const value = pool.number(t.digits!)
  const hops = names.slice(1).map((to, i) => fill(t.hop!, { from: names[i], to }))
  return {
    facts: [fill(t.fact, { value, name: names[0] }), ...hops],
    questions: [question(text, 'variable-chain', { value }, { names: names.join(text.prompt.listSeparator) }, names)],
    maxNewTokens: t.maxNewTokens,
  }
}

/** Words that are said more often than others: which are they? */
export function commonWords(text: TaskText, pool: Pool, task: 'common-word' | 'common-words'): Facts {
  const t = text.tasks[task]
  const counts = t.counts!,
    others = t.others!
  const words = pool.words(counts.length + others)
  const times = [...counts, ...Array.from({ length: others }, () => t.otherCount!)]
  const facts = words.flatMap((word, i) => Array.from({ length: times[i] }, () => fill(t.fact, { word })))
  return {
    facts: pool.shuffled(facts),
    questions: [question(text, task, {}, { first: words[0], second: words[1] }, words.slice(0, counts.length))],
    maxNewTokens: t.maxNewTokens,
  }
}
