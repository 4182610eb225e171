import type { Axis, Budgeter, ColumnSpec, Encoder, Folder, Needs, Placer, PrefillAttention, Scorer, Selector } from './axes.ts'
import { filledAxes } from './define-method.ts'
import { PolicyConflictError } from './errors.ts'
import type { Parts, Preset } from './method.ts'
import { highestScores } from './top-rows.ts'

/** What a user composed: one choice per axis. */
export interface Policy {
  /** As policy text: `snapkv(budget=512) + kivi(bits=4)`, or `full`. */
  readonly text: string
  readonly budget?: Budgeter
  readonly score?: Scorer
  readonly select: Selector
  readonly fold?: Folder
  readonly encode?: Encoder
  readonly place?: Placer
  readonly attention?: PrefillAttention
  readonly needs: Needs
  readonly columns: readonly ColumnSpec[]
}

/**
 * Merges presets into a policy. No preset: the full cache. Throws PolicyConflictError, naming both presets, when two claim one axis;
 * a preset's fallback parts fill what nobody claims, the earlier preset's first.
 */
export function compose(...presets: readonly Preset[]): Policy {
  const parts: Parts = {}
  const owner = new Map<Axis, string>()
  for (const preset of presets) {
    for (const axis of filledAxes(preset)) {
      const other = owner.get(axis)
      if (other) throw new PolicyConflictError(conflict(axis, other, preset.method))
      owner.set(axis, preset.method)
      Object.assign(parts, { [axis]: preset[axis] })
    }
  }
  for (const { fallback } of presets) {
    for (const axis of fallback ? filledAxes(fallback) : []) {
      if (!parts[axis]) Object.assign(parts, { [axis]: fallback![axis] })
    }
  }
  checkParts(parts, owner)
  const { budget, score, select, fold, encode, place, attention } = parts
  const columns = [...(score?.columns ?? [])]
  if (score && ((budget?.when && budget.when !== 'layer') || encode?.assign)) columns.push({ name: 'score', initial: 0 })
  return {
    text: presets.map((preset) => preset.text).join(' + ') || 'full',
    budget,
    score,
    fold,
    encode,
    place,
    attention,
    select: select ?? highestScores,
    needs: mergeNeeds([budget?.needs, score?.needs, fold?.needs, encode?.needs]),
    columns: [{ name: 'position', initial: 0 }, ...columns],
  }
}

function conflict(axis: Axis, one: string, other: string): string {
  if (one === other) return `${one} is there twice: use it once.`
  return `${one} and ${other} both decide the axis "${axis}": use one of them, or leave that part of one to its default.`
}

function checkParts(parts: Parts, owner: Map<Axis, string>): void {
  const missing = (axis: Axis, needed: Axis): never => {
    throw new PolicyConflictError(
      `${owner.get(axis)} decides the axis "${axis}", which does nothing without "${needed}": add a method that fills it.`,
    )
  }
  if (parts.budget && !parts.score) missing('budget', 'score')
  if (parts.score && !parts.budget) missing('score', 'budget')
  if (parts.select && !parts.score) missing('select', 'score')
  if (parts.fold && !parts.score) missing('fold', 'score')
}

function mergeNeeds(all: readonly (Needs | undefined)[]): Needs {
  const merged: Needs = {}
  for (const needs of all) {
    if (!needs) continue
    const windowAttention = Math.max(merged.windowAttention ?? 0, needs.windowAttention ?? 0)
    if (windowAttention > 0) merged.windowAttention = windowAttention
    for (const name of ['columnSums', 'stepAttention', 'keys', 'values'] as const) if (needs[name]) merged[name] = true
  }
  return merged
}
