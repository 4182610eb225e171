import { commonWords, keyValues, needles, variableChain, type Facts } from './facts.ts'
import type { Pool } from './pool.ts'
import type { TaskText } from './task-text.ts'

/** A question that is generated from a seed, and scored by what the answer contains. */
export interface Task {
  summary: string
  make(text: TaskText, pool: Pool): Facts
}

/** The tasks with questions, by name. `perplexity` comes beside them. */
export const TASKS: Record<string, Task> = {
  needle: { summary: 'one number of seven digits, planted somewhere', make: (text, pool) => needles(text, pool, 'needle-number', 1) },
  needles: { summary: 'one of eight planted numbers', make: (text, pool) => needles(text, pool, 'needle-number', 8) },
  'needle-word': { summary: 'one word, planted somewhere', make: (text, pool) => needles(text, pool, 'needle-word', 1) },
  'needle-words': { summary: 'one of eight planted words', make: (text, pool) => needles(text, pool, 'needle-word', 8) },
  'key-value': { summary: 'one of 32 records of a number under a number', make: keyValues },
  'variable-chain': { summary: 'a value copied four times: all places that hold it', make: variableChain },
  'common-word': { summary: 'the word that is said most often', make: (text, pool) => commonWords(text, pool, 'common-word') },
  'common-words': { summary: 'the two words that are said most often', make: (text, pool) => commonWords(text, pool, 'common-words') },
}

/** Of the last tokens of a text, decoded one by one. Lower is better. */
export const PERPLEXITY = 'perplexity'

export const TASK_NAMES: string[] = [...Object.keys(TASKS), PERPLEXITY]
