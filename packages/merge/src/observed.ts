import { PlanError } from '@kvfold/kv-core'

/** What the method asked for in `needs`, or an error that names it. */
export function observed<T>(value: T | undefined, method: string, what: string): T {
  if (value === undefined) throw new PlanError(`${method} was asked for scores without ${what}: hand over what its \`needs\` name.`)
  return value
}
