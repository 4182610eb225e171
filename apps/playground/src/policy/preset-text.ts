import { presetText, type Axis, type PresetText } from '@kvfold/kv-core'
import { registry } from '../registry.ts'
import { AXIS_NAMES } from './axes.ts'

export type Value = string | number | boolean

/** Presets as policy text. */
export function policyText(presets: readonly PresetText[]): string {
  return presets.map(({ method, params }) => presetText(method, params)).join(' + ') || 'full'
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
