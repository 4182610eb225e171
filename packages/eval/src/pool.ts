import type { Random } from '@kvfold/kv-core'
import type { TaskText } from './task-text.ts'

/** Keys and values that training never saw. */
export class Pool {
  private readonly text: TaskText
  private readonly random: Random

  constructor(text: TaskText, random: Random) {
    this.text = text
    this.random = random
  }

  /** A whole number below `limit`. */
  below(limit: number): number {
    return Math.floor(this.random() * limit)
  }

  /** A number of that many digits. */
  number(digits: number): string {
    const low = 10 ** (digits - 1),
      modulus = this.text.reserved.numberModulus
    const first = Math.ceil(low / modulus)
    const count = Math.floor((10 * low - 1) / modulus) - first + 1
    return String((first + this.below(count)) * modulus)
  }

  /** An adjective and a noun. */
  key(): string {
    const {
      words: { adjectives, nouns },
      reserved: { keyModulus },
    } = this.text
    for (;;) {
      const i = this.below(adjectives.length),
        j = this.below(nouns.length)
      if ((i + j) % keyModulus === 0) return `${adjectives[i]} ${nouns[j]}`
    }
  }

  words(count: number): string[] {
    return this.shuffled(this.text.words.evaluation).slice(0, count)
  }

  /** `count` different values of `draw`. */
  distinct(draw: () => string, count: number): string[] {
    const values = new Set<string>()
    while (values.size < count) values.add(draw())
    return [...values]
  }

  /** A shuffled copy. */
  shuffled<T>(items: readonly T[]): T[] {
    const copy = [...items]
    for (let i = copy.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      const item = copy[i]
      copy[i] = copy[j]
      copy[j] = item
    }
    return copy
  }
}
