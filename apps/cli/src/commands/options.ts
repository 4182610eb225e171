import { InvalidArgumentError } from 'commander'

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
