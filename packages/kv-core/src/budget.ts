import { z } from 'zod'
import type { Budgeter } from './axes.ts'
import { BudgetError } from './errors.ts'

/** A budget per layer and KV head in rows, for the whole cache in bytes, or as a share of the tokens seen. */
export type BudgetSize = { tokens: number } | { bytes: number } | { ratio: number }

const UNITS: Record<string, number> = { b: 1, kb: 1e3, mb: 1e6, gb: 1e9, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30 }

/** Reads 512 (tokens), 0.25 or "25%" (ratio), "8MiB" (bytes), or a BudgetSize. Throws BudgetError. */
export function budgetSize(value: number | string | BudgetSize): BudgetSize {
  if (typeof value === 'object') return checked(value)
  const text = String(value).trim()
  const match = /^(\d+(?:\.\d+)?|\.\d+)\s*(%|[kmg]?i?b)?$/i.exec(text)
  if (!match) throw new BudgetError(`Budget "${text}" is not a number of tokens (512), a share (25%) or bytes (8MiB).`)
  const number = Number(match[1])
  const unit = match[2]?.toLowerCase()
  if (unit === '%') return checked({ ratio: number / 100 })
  if (unit) return checked({ bytes: Math.floor(number * UNITS[unit]) })
  return number > 0 && number < 1 ? checked({ ratio: number }) : checked({ tokens: number })
}

function checked(size: BudgetSize): BudgetSize {
  if ('ratio' in size && !(size.ratio > 0 && size.ratio <= 1))
    throw new BudgetError(`A budget of ${size.ratio * 100}% keeps nothing or more than all: give more than 0% and at most 100%.`)
  if ('tokens' in size && !(Number.isInteger(size.tokens) && size.tokens >= 1))
    throw new BudgetError(`A budget of ${size.tokens} tokens cannot be kept: give a whole number of at least 1.`)
  if ('bytes' in size && !(size.bytes >= 1)) throw new BudgetError('A budget of 0 bytes keeps nothing: give more.')
  return size
}

/** The budget parameter of a method: the same text everywhere. */
export const budgetParam: z.ZodType<BudgetSize | undefined, number | string | BudgetSize | undefined> = z
  .union([z.number(), z.string(), z.object({ tokens: z.number() }), z.object({ bytes: z.number() }), z.object({ ratio: z.number() })])
  .transform((value) => budgetSize(value))
  .optional()
  .describe('rows per layer and head (512), a share of the tokens seen (25%), or bytes of the whole cache (8MiB)')

/** The same number of rows for every layer and head. */
export function uniform(size: BudgetSize): Budgeter {
  return {
    size,
    allocate: (seen, total) => seen.map(() => Array.from({ length: total.kvHeads }, () => total.rows)),
  }
}
