import type { Tokenizer } from '@kvfold/models'
import { EvaluationError } from './errors.ts'
import type { Facts, Question } from './facts.ts'
import type { Pool } from './pool.ts'
import type { TaskText } from './task-text.ts'

/** What is read first, and what is asked about it. */
export interface Prompt {
  context: number[]
  question: number[]
}

/** What a prompt starts with: the tasks' first token, or else what the tokenizer puts before every text. */
export function firstTokens(text: TaskText, tokenizer: Tokenizer): number[] {
  const bos = tokenizer.id(text.prompt.bos)
  return bos === undefined ? tokenizer.encode('') : [bos]
}

/** Joins documents, plants facts between their sentences, and appends a question, all as tokens. */
export class PromptWriter {
  readonly text: TaskText
  private readonly tokenizer: Tokenizer
  private readonly documents: number[][]
  private readonly separator: number[]
  private readonly bos: number[]
  private readonly endsSentence: (token: number) => boolean
  private readonly startsSpace: (token: number) => boolean

  constructor(text: TaskText, tokenizer: Tokenizer, documents: readonly string[]) {
    this.text = text
    this.tokenizer = tokenizer
    this.documents = documents.map((document) => this.encode(document))
    this.separator = this.encode(text.prompt.documentSeparator)
    this.bos = firstTokens(text, tokenizer)
    this.endsSentence = this.remembered((piece) => /[.!?]$/.test(piece))
    this.startsSpace = this.remembered((piece) => /^[ \n]/.test(piece))
  }

  encode(text: string): number[] {
    return this.tokenizer.encode(text, { special: false })
  }

  /** Documents in random order, joined, cut at `length` tokens. */
  haystack(length: number, pool: Pool): number[] {
    const tokens: number[] = []
    while (tokens.length < length) {
      for (const document of pool.shuffled(this.documents)) {
        tokens.push(...document.slice(0, length - tokens.length), ...this.separator)
        if (tokens.length >= length) break
      }
    }
    return tokens.slice(0, length)
  }

  /** A prompt of exactly `length` tokens: a document, then the question. Throws EvaluationError if they do not fit. */
  prompt(facts: Facts, question: Question, length: number, pool: Pool): Prompt {
    const asked = this.encode(question.prompt)
    return { context: this.document(facts, length - asked.length, pool), question: asked }
  }

  /** Text of exactly `length` tokens with the facts planted at random places. Throws EvaluationError if they do not fit. */
  document(facts: Facts, length: number, pool: Pool): number[] {
    const planted = facts.facts.map((fact) => this.encode(this.text.prompt.factPrefix + fact))
    const room = length - this.bos.length - planted.reduce((sum, fact) => sum + fact.length, 0)
    if (room < planted.length) throw new EvaluationError(`The facts leave no room for text in ${length} tokens: give a longer context.`)
    return [...this.bos, ...this.plant(this.haystack(room, pool), planted, pool)]
  }

  /** Plain text of exactly `length` tokens. */
  plain(length: number, pool: Pool): number[] {
    return [...this.bos, ...this.haystack(length - this.bos.length, pool)]
  }

  private plant(haystack: number[], facts: number[][], pool: Pool): number[] {
    const points = this.insertionPoints(haystack, facts.length, pool)
    const out: number[] = []
    let last = 0
    facts.forEach((fact, i) => {
      out.push(...haystack.slice(last, points[i]), ...fact)
      last = points[i]
    })
    return [...out, ...haystack.slice(last)]
  }

  /** Ascending places between sentences: distinct as long as there are enough. */
  private insertionPoints(haystack: number[], count: number, pool: Pool): number[] {
    const all: number[] = []
    for (let i = 1; i < haystack.length; i++) if (this.endsSentence(haystack[i - 1]) && this.startsSpace(haystack[i])) all.push(i)
    if (all.length === 0) all.push(haystack.length)
    const chosen = pool.shuffled(all).slice(0, count)
    while (chosen.length < count) chosen.push(all[pool.below(all.length)])
    return chosen.sort((a, b) => a - b)
  }

  private remembered(test: (piece: string) => boolean): (token: number) => boolean {
    const known = new Map<number, boolean>()
    return (token) => {
      let answer = known.get(token)
      if (answer === undefined) known.set(token, (answer = test(this.tokenizer.decode([token]))))
      return answer
    }
  }
}
