import { defaultThreads } from '@kvfold/kernels'
import type { SamplingOptions } from '@kvfold/models'
import { InvalidArgumentError, Option, type Command } from 'commander'

/** A whole number of at least `least`. */
export function integer(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isInteger(value) || value < least)
      throw new InvalidArgumentError(`Give a whole number of at least ${least}.`)
    return value
  }
}

/** A number of at least `least` and at most `most`. */
export function number(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !(value >= least && value <= most)) throw new InvalidArgumentError(`Give a number from ${least} to ${most}.`)
    return value
  }
}

/** A list that is separated by `separator`. */
export function list(separator: string): (text: string) => string[] {
  return (text) =>
    text
      .split(separator)
      .map((item) => item.trim())
      .filter(Boolean)
}

/** How many threads compute. */
export function threadsOption(): Option {
  return new Option('--threads <n>', 'threads that compute; auto: one for each core, 4 at most').argParser(threads).default(1)
}

function threads(text: string): number {
  if (text === 'auto') return defaultThreads()
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1 || count > 16) throw new InvalidArgumentError('Give auto, or a whole number from 1 to 16.')
  return count
}

/** What `samplingOptions` adds. */
export interface SamplingFlags {
  maxTokens: number
  temperature: number
  topK?: number
  topP?: number
  seed: number
}

/** Adds how many tokens are made, and how they are drawn. */
export function samplingOptions(command: Command): Command {
  return command
    .option('-n, --max-tokens <n>', 'most new tokens', integer(1), 64)
    .option('--temperature <t>', '0 is greedy', number(0, 100), 0)
    .option('--top-k <k>', 'draw from the k likeliest tokens', integer(1))
    .option('--top-p <p>', 'draw from the likeliest tokens that have this probability together', number(0, 1))
    .option('--seed <n>', 'of the draws', integer(0), 0)
}

export function sampling({ maxTokens, temperature, topK, topP, seed }: SamplingFlags): { maxTokens: number; sampling: SamplingOptions } {
  return { maxTokens, sampling: { temperature, topK, topP, seed } }
}
