import { budgetSize } from '@kvfold/kv-core'
import type { Value } from './preset-text.ts'

export type Unit = 'ratio' | 'tokens' | 'bytes'

/** Where a slider's ends are. A share moves in steps, the others double from place to place. */
const RANGES: Record<Unit, { low: number; high: number }> = {
  ratio: { low: 1, high: 100 },
  tokens: { low: 16, high: 4096 },
  bytes: { low: 2 ** 16, high: 2 ** 26 },
}

/** How many places a slider has. */
export const PLACES = 100

/** What a budget's text says; undefined if it says nothing. */
export function readBudget(value: Value | undefined): { unit: Unit; size: number } | undefined {
  if (value === undefined || typeof value === 'boolean') return undefined
  try {
    const size = budgetSize(value)
    if ('ratio' in size) return { unit: 'ratio', size: size.ratio * 100 }
    return 'tokens' in size ? { unit: 'tokens', size: size.tokens } : { unit: 'bytes', size: size.bytes }
  } catch {
    return undefined
  }
}

/** The place of a size on its slider. */
export function placeOf(unit: Unit, size: number): number {
  const { low, high } = RANGES[unit]
  const share = unit === 'ratio' ? (size - low) / (high - low) : Math.log(size / low) / Math.log(high / low)
  return Math.round(Math.min(1, Math.max(0, share)) * PLACES)
}

/** The budget at a place of a slider, as a policy has it. */
export function budgetAt(unit: Unit, place: number): Value {
  const { low, high } = RANGES[unit]
  const share = place / PLACES
  if (unit === 'ratio') return `${Math.round(low + share * (high - low))}%`
  const size = low * (high / low) ** share
  if (unit === 'tokens') return Math.round(size)
  return size < 2 ** 20 ? `${Math.round(size / 2 ** 10)}KiB` : `${(size / 2 ** 20).toFixed(1)}MiB`
}
