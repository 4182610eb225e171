import { describeMethod, type Axis, type PresetText } from '@kvfold/kv-core'
import type { JSX } from 'preact'
import { registry } from '../registry.ts'
import { AXES, AXIS_NAMES } from './axes.ts'
import { choose } from './edit.ts'
import { ParamFields } from './param-fields.tsx'
import { disputed, holders, presets, write } from './state.ts'
import { unavailable } from './unavailable.ts'

const methods = registry.list().map(describeMethod)

/** One choice per axis, with the parameters of what was chosen. */
export function PolicyBuilder({ disabled }: { disabled: boolean }): JSX.Element {
  const shown = new Set<PresetText>()
  return (
    <fieldset class="axes" disabled={disabled}>
      <legend class="hidden">Choices of the policy</legend>
      {AXIS_NAMES.map((axis) => {
        const preset = holders.value.get(axis)
        const isFirst = preset !== undefined && !shown.has(preset)
        if (isFirst) shown.add(preset)
        return <AxisRow key={axis} axis={axis} preset={preset} withFields={isFirst} />
      })}
    </fieldset>
  )
}

function AxisRow({ axis, preset, withFields }: { axis: Axis; preset: PresetText | undefined; withFields: boolean }): JSX.Element {
  const { label, question, none } = AXES[axis]
  const id = `axis-${axis}`
  const isDisputed = disputed.value.has(axis) || (preset !== undefined && disputed.value.has(preset.method))
  return (
    <div class={isDisputed ? 'axis disputed' : 'axis'}>
      <label for={id} title={question}>
        {label}
      </label>
      <select
        id={id}
        title={question}
        aria-invalid={isDisputed}
        value={preset?.method ?? ''}
        onChange={({ currentTarget }) => write(choose(presets.value, axis, currentTarget.value))}
      >
        <option value="">{none}</option>
        {methods
          .filter(({ axes }) => axes.includes(axis))
          .map(({ name, summary }) => {
            const reason = unavailable(name)
            return (
              <option key={name} value={name} disabled={reason !== undefined} title={reason ?? summary}>
                {reason === undefined ? name : `${name}: ${reason}`}
              </option>
            )
          })}
      </select>
      {withFields && preset && <ParamFields preset={preset} about={methods.find(({ name }) => name === preset.method)!} />}
    </div>
  )
}
