import type {
  Axis,
  Budgeter,
  ColumnSpec,
  Encoder,
  Folder,
  Needs,
  Placer,
  PrefillAttention,
  Protection,
  Scorer,
  Selector,
  Trigger,
} from './axes.ts'
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
  readonly protect?: Protection
  readonly select: Selector
  readonly fold?: Folder
  readonly encode?: Encoder
  readonly place?: Placer
  readonly attention?: PrefillAttention
  readonly trigger?: Trigger
  readonly needs: Needs
  readonly columns: readonly ColumnSpec[]
}

/**
 * Merges presets into a policy. No preset: the full cache. Throws PolicyConflictError, naming both presets, when two claim one axis or
 * cannot work together; a preset's fallback parts fill what nobody claims, the earlier preset's first.
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
  for (const { fallback, method } of presets) {
    for (const axis of fallback ? filledAxes(fallback) : []) {
      if (parts[axis]) continue
      owner.set(axis, method)
      Object.assign(parts, { [axis]: fallback![axis] })
    }
  }
  checkParts(parts, owner)
  const { select = highestScores, ...others } = parts
  return {
    text: presets.map((preset) => preset.text).join(' + ') || 'full',
    ...others,
    select,
    needs: mergeNeeds([parts.budget?.needs, parts.score?.needs, parts.fold?.needs, parts.encode?.needs]),
    columns: columnsOf(parts),
  }
}

function columnsOf({ score, budget, encode, fold }: Parts): ColumnSpec[] {
  const columns = [{ name: 'position', initial: 0 }, ...(score?.columns ?? []), ...(fold?.columns ?? [])]
  if (score && ((budget?.when && budget.when !== 'layer') || encode?.assign)) columns.push({ name: 'score', initial: 0 })
  if (score) columns.push(...neededColumns(score.needs))
  return columns.filter(({ name }, i) => columns.findIndex((column) => column.name === name) === i)
}

/** Columns in which what was seen waits for the scorer. */
export function neededColumns(needs: Needs): ColumnSpec[] {
  return (['retaining', 'reconstruction'] as const).filter((name) => needs[name]).map((name) => ({ name, initial: 0 }))
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
  const clash = (one: Axis, does: string, other: Axis, why: string): never => {
    throw new PolicyConflictError(`${owner.get(one)} ${does}, and ${owner.get(other)} ${why}: use one of them.`)
  }
  const { budget, score, select, trigger, encode } = parts
  if (budget && !score) missing('budget', 'score')
  if (score && !budget) missing('score', 'budget')
  for (const axis of ['select', 'fold', 'protect', 'trigger'] as const) if (parts[axis] && !score) missing(axis, 'score')
  if (encode?.basis && score) clash('encode', 'packs the rows of all heads as one', 'score', 'lets heads drop rows of their own')
  if (select?.contiguous && encode) clash('select', 'rotates the keys that stay anew', 'encode', 'packs them for good')
  if (trigger?.chunk && budget?.when === 'model')
    clash('trigger', 'drops rows while a prompt is read', 'budget', 'shares the budget among layers when it has been read')
  if (trigger?.chunk && score?.needs.reconstruction)
    clash('trigger', 'drops rows while a prompt is read', 'score', 'scores them when it has been read twice')
}

/** Everything that some parts need. */
export function mergeNeeds(all: readonly (Needs | undefined)[]): Needs {
  const merged: Needs = {}
  for (const needs of all) {
    if (!needs) continue
    const windowAttention = Math.max(merged.windowAttention ?? 0, needs.windowAttention ?? 0)
    if (windowAttention > 0) merged.windowAttention = windowAttention
    if (needs.queryMoments !== undefined) merged.queryMoments = needs.queryMoments
    for (const name of ['columnSums', 'stepAttention', 'keys', 'values', 'queries', 'retaining', 'reconstruction'] as const)
      if (needs[name]) merged[name] = true
  }
  return merged
}
