import { ModelFormatError } from '../errors.ts'

/** Typed access to a parsed JSON object or GGUF metadata; `file` names it in errors. */
export interface Fields {
  has(name: string): boolean
  /** The raw value; null counts as absent. */
  get(name: string): unknown
  /** A positive finite number. Without a default, absence throws ModelFormatError. */
  number(name: string, otherwise?: number): number
  /** A whole number of at least 1. */
  count(name: string, otherwise?: number): number
  /** A token id or several; absent gives []. */
  ids(name: string): number[]
}

export function fields(values: Record<string, unknown>, file: string): Fields {
  const get = (name: string): unknown => {
    const value = values[name] ?? undefined
    return typeof value === 'bigint' ? Number(value) : value
  }
  const number = (name: string, otherwise?: number): number => {
    const value = get(name) ?? otherwise
    if (value === undefined) throw new ModelFormatError(`${file} lacks '${name}': fetch the model's files again.`)
    if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0)
      throw new ModelFormatError(`${file}: '${name}' is ${JSON.stringify(value)}: expected a positive number.`)
    return value
  }
  return {
    has: (name) => get(name) !== undefined,
    get,
    number,
    count(name, otherwise) {
      const value = number(name, otherwise)
      if (!Number.isInteger(value)) throw new ModelFormatError(`${file}: '${name}' is ${value}: expected a whole number.`)
      return value
    },
    ids(name) {
      const value = get(name)
      const list = Array.isArray(value) ? value : value === undefined ? [] : [value]
      return list.map((id) => {
        if (!Number.isInteger(id) || id < 0)
          throw new ModelFormatError(`${file}: '${name}' holds ${JSON.stringify(id)}: expected token ids.`)
        return id as number
      })
    },
  }
}
