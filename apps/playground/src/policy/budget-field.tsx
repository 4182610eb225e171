import type { JSX } from 'preact'
import { budgetAt, placeOf, PLACES, readBudget, type Unit } from './budget.ts'
import { setParam, takesBudget } from './edit.ts'
import type { Value } from './preset-text.ts'
import { holders, presets, write } from './state.ts'

const UNITS: Record<Unit, string> = { ratio: 'share', tokens: 'tokens', bytes: 'bytes' }

/** The budget of whichever preset has one: as a slider, and as it is written. */
export function BudgetField({ disabled }: { disabled: boolean }): JSX.Element {
  const preset = holders.value.get('budget') ?? presets.value.find(({ method }) => takesBudget(method))
  const hasBudget = preset !== undefined && takesBudget(preset.method)
  const value = preset?.params['budget']
  const { unit, size } = readBudget(value) ?? { unit: 'ratio' as const, size: 25 }
  const set = (next: Value | undefined): void => {
    if (preset) write(setParam(presets.value, preset.method, 'budget', next))
  }
  return (
    <fieldset class="budget" disabled={disabled || !hasBudget}>
      <legend>Budget{hasBudget && <span class="quiet"> of {preset.method}</span>}</legend>
      <input
        type="range"
        aria-label="Size of the budget"
        min={0}
        max={PLACES}
        value={placeOf(unit, size)}
        aria-valuetext={value === undefined ? 'none' : String(value)}
        onInput={({ currentTarget }) => set(budgetAt(unit, Number(currentTarget.value)))}
      />
      <input
        type="text"
        class="number"
        aria-label="Budget as text"
        value={value === undefined ? '' : String(value)}
        placeholder="none"
        onChange={({ currentTarget }) => set(currentTarget.value.trim() || undefined)}
      />
      <select aria-label="Unit of the budget" value={unit} onChange={({ currentTarget }) => set(inUnit(currentTarget.value as Unit))}>
        {Object.entries(UNITS).map(([name, label]) => (
          <option key={name} value={name}>
            {label}
          </option>
        ))}
      </select>
    </fieldset>
  )
}

/** Another unit begins with a size that is common in it. */
function inUnit(unit: Unit): Value {
  return { ratio: '25%', tokens: 512, bytes: '2MiB' }[unit]
}
