import type { Axis, PresetText } from '@kvfold/kv-core'
import { registry } from '../registry.ts'
import { AXIS_NAMES } from './axes.ts'

export type Value = string | number | boolean

/** Presets as policy text. */
export function policyText(presets: readonly PresetText[]): string {
  return presets.map(presetText).join(' + ') || 'full'
}

function presetText({ method, params }: PresetText): string {
  const given = Object.entries(params).map(([name, value]) => `${name}=${valueText(value)}`)
  return given.length === 0 ? method : `${method}(${given.join(', ')})`
}

/** Quoted where a bare word would be read as something else. */
function valueText(value: Value): string {
  const isBare = typeof value !== 'string' || (/^[^\s,()+"']+$/.test(value) && !/^(true|false)$/.test(value))
  return isBare ? String(value) : `"${value.replaceAll('"', '')}"`
}

/** The axes that a preset fills: with other parameters it may be others. Those that it declares, if its parameters are wrong. */
export function axesOf({ method, params }: PresetText): Axis[] {
  try {
    const preset = registry.get(method)(params)
    return AXIS_NAMES.filter((axis) => preset[axis] !== undefined)
  } catch {
    return registry.list().some((known) => known.method.name === method) ? [...registry.get(method).axes] : []
  }
}

/** Who decides an axis. Of two, the one that was chosen for it: the other one's first choice is another axis. */
export function holderOf(presets: readonly PresetText[], axis: Axis): PresetText | undefined {
  const holders = presets.filter((preset) => axesOf(preset).includes(axis))
  return holders.find((preset) => axesOf(preset)[0] === axis) ?? holders[0]
}
