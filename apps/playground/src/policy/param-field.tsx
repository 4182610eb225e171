import type { ParamInfo } from '@kvfold/kv-core'
import type { JSX } from 'preact'
import { setParam } from './edit.ts'
import type { Value } from './preset-text.ts'
import { presets, write } from './state.ts'

interface Schema {
  type?: string
  enum?: Value[]
  minimum?: number
  exclusiveMinimum?: number
  maximum?: number
}

interface FieldProps {
  method: string
  param: ParamInfo
  value: Value | undefined
}

/** One parameter: the kind of its field follows from its schema. Left as it is, it has its default. */
export function ParamField({ method, param, value }: FieldProps): JSX.Element {
  const id = `param-${method}-${param.name}`
  return (
    <div class="param">
      <label for={id}>{param.name}</label>
      <Control id={id} method={method} param={param} value={value} />
      <p id={`${id}-about`}>{param.description}</p>
    </div>
  )
}

function Control({ id, method, param, value }: FieldProps & { id: string }): JSX.Element {
  const schema = param.schema as Schema
  const standard = param.default as Value | undefined
  const set = (next: Value | undefined): void => write(setParam(presets.value, method, param.name, next === standard ? undefined : next))
  const about = { id, 'aria-describedby': `${id}-about` }
  if (schema.type === 'boolean')
    return (
      <input
        {...about}
        type="checkbox"
        checked={(value ?? standard) === true}
        onChange={({ currentTarget }) => set(currentTarget.checked)}
      />
    )
  if (schema.enum)
    return (
      <select
        {...about}
        value={String(value ?? standard ?? '')}
        onChange={({ currentTarget }) => set(schema.enum!.find((one) => String(one) === currentTarget.value))}
      >
        {standard === undefined && <option value="">default</option>}
        {schema.enum.map((one) => (
          <option key={String(one)}>{String(one)}</option>
        ))}
      </select>
    )
  const placeholder = standard === undefined || standard === '' ? 'default' : String(standard)
  if (schema.type !== 'number' && schema.type !== 'integer')
    return (
      <input
        {...about}
        type="text"
        placeholder={placeholder}
        value={value === undefined ? '' : String(value)}
        // A policy text has no way to write a quote.
        onChange={({ currentTarget }) => set(currentTarget.value.replaceAll('"', '') || undefined)}
      />
    )
  const { minimum, exclusiveMinimum, maximum } = schema
  return (
    <input
      {...about}
      type="number"
      step={schema.type === 'integer' ? 1 : 'any'}
      min={minimum ?? exclusiveMinimum}
      max={maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum}
      placeholder={placeholder}
      value={value === undefined ? '' : String(value)}
      onChange={({ currentTarget }) => set(currentTarget.value === '' ? undefined : Number(currentTarget.value))}
    />
  )
}
