import type { Axis, PresetText } from '@kvfold/kv-core'
import { registry } from '../registry.ts'
import { axesOf, holderOf, type Value } from './preset-text.ts'

/** What a budget is where nobody said. */
const DEFAULT_BUDGET = '25%'

/**
 * A method chosen for an axis, or none (''). Whoever decided that axis before leaves, or leaves the budget to the new one. A preset that
 * another axis now has twice stays: the user sees the conflict, and decides.
 */
export function choose(presets: readonly PresetText[], axis: Axis, method: string): PresetText[] {
  const holder = holderOf(presets, axis)
  if (holder?.method === method) return [...presets]
  const budget = presets.map(({ params }) => params['budget']).find((value) => value !== undefined) ?? DEFAULT_BUDGET
  const others = holder ? released(presets, holder, axis) : [...presets]
  if (method === '') return others
  const isFree = !others.some((preset) => axesOf(preset).includes('budget'))
  const params: PresetText['params'] = takesBudget(method) && (isFree || axis === 'budget') ? { budget } : {}
  const same = others.findIndex((preset) => preset.method === method)
  if (same >= 0) return others.with(same, { method, params: { ...params, ...others[same].params } })
  const isReplaced = holder !== undefined && others.length < presets.length
  const at = isReplaced ? presets.indexOf(holder) : others.length
  return others.toSpliced(at, 0, { method, params })
}

/** Whether a method has a budget to set. */
export function takesBudget(method: string): boolean {
  return 'budget' in registry.get(method).params.shape
}

/** A parameter set, or with undefined left to its default. */
export function setParam(presets: readonly PresetText[], method: string, name: string, value: Value | undefined): PresetText[] {
  return presets.map((preset) => {
    if (preset.method !== method) return preset
    const { [name]: _, ...others } = preset.params
    // In its place, so that the text does not jump.
    const params = { ...preset.params, ...(value !== undefined && { [name]: value }) }
    return { method, params: value === undefined ? others : params }
  })
}

function released(presets: readonly PresetText[], holder: PresetText, axis: Axis): PresetText[] {
  const { budget, ...params } = holder.params
  const decidesMore = axesOf(holder).length > 1
  if (axis === 'budget' && decidesMore && budget !== undefined)
    return presets.map((preset) => (preset === holder ? { ...holder, params } : preset))
  return presets.filter((preset) => preset !== holder)
}
