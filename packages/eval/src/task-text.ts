import data from '../data/tasks.json' with { type: 'json' }

/** A kind of fact, with what is asked about it and how the answer reads. `{name}` marks what is filled in. */
export interface TaskTemplate {
  fact: string
  /** The following facts of a chain. */
  hop?: string
  question: string
  /** The start of the answer, which the prompt gives. */
  answerPrefix: string
  answer: string
  maxNewTokens: number
  digits?: number
  keyDigits?: number
  pairs?: number
  hops?: number
  counts?: number[]
  others?: number
  otherCount?: number
}

/** `data/tasks.json`: texts, word lists, and what is reserved for evaluation. The model was trained on the same texts with other values. */
export interface TaskText {
  prompt: {
    bos: string
    eos: string
    documentSeparator: string
    factPrefix: string
    question: string
    answerEnd: string
    listSeparator: string
    pairSeparator: string
  }
  reserved: { numberModulus: number; keyModulus: number }
  tasks: Record<string, TaskTemplate>
  words: { adjectives: string[]; nouns: string[]; evaluation: string[] }
}

export const TASK_TEXT: TaskText = data

/** Fills in a template's `{name}`s. */
export function fill(template: string, values: Record<string, string>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => values[name])
}
