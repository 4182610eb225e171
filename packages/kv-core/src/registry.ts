import { z } from 'zod'
import type { Axis } from './axes.ts'
import { PolicySyntaxError } from './errors.ts'
import type { Method, Paper, Preset } from './method.ts'
import { parsePolicyText } from './parse-policy.ts'
import { compose, type Policy } from './policy.ts'

/** A parameter as lists and documentation show it. */
export interface ParamInfo {
  name: string
  description: string
  default: unknown
  /** JSON schema of what may be given. */
  schema: Record<string, unknown>
}

/** A method as lists in JSON show it. */
export interface MethodInfo {
  name: string
  /** The package that it comes from. */
  package: string
  axes: readonly Axis[]
  paper: Paper | null
  summary: string
  params: ParamInfo[]
}

export interface RegisteredMethod {
  method: Method
  /** The package that it comes from. */
  package: string
}

/** The methods that a program knows, found by their names. Built from what packages export: no list is kept by hand. */
export class Registry {
  private readonly methods = new Map<string, RegisteredMethod>()

  /** `packages`: by package name, what `import * as` gives. Exports that are no methods are passed over. */
  constructor(packages: Record<string, Record<string, unknown>>) {
    for (const [name, exported] of Object.entries(packages)) {
      for (const value of Object.values(exported)) {
        if (isMethod(value)) this.methods.set(value.name, { method: value, package: name })
      }
    }
  }

  /** All methods, by name. */
  list(): RegisteredMethod[] {
    return [...this.methods.values()].sort((a, b) => a.method.name.localeCompare(b.method.name))
  }

  /** Throws PolicySyntaxError on a name that nobody registered. */
  get(name: string): Method {
    const found = this.methods.get(name)
    if (!found) throw new PolicySyntaxError(`There is no method "${name}".${this.nearest(name)} \`kvfold methods\` lists them all.`)
    return found.method
  }

  /** A policy text's presets, with their parameters checked. */
  presets(text: string): Preset[] {
    return parsePolicyText(text).map(({ method, params }) => this.get(method)(params))
  }

  /** Reads a policy text. Throws PolicySyntaxError, BudgetError, PolicyConflictError. */
  policy(text: string): Policy {
    return compose(...this.presets(text))
  }

  private nearest(name: string): string {
    const near = [...this.methods.keys()].find(
      (known) => known.startsWith(name.slice(0, 3)) || known.includes(name) || name.includes(known),
    )
    return near ? ` Did you mean "${near}"?` : ''
  }
}

export function isMethod(value: unknown): value is Method {
  return typeof value === 'function' && 'axes' in value && 'create' in value && 'params' in value
}

/** A method's parameters, from its schema. */
export function describeParams(method: Method): ParamInfo[] {
  const { properties = {} } = z.toJSONSchema(method.params, { io: 'input', unrepresentable: 'any' })
  return Object.entries(properties as Record<string, Record<string, unknown>>).map(([name, property]) => {
    const { description = '', default: value, ...schema } = property
    return { name, description: String(description), default: value, schema }
  })
}

/** A method with its parameters, for lists in JSON. */
export function describeMethod({ method, package: from }: RegisteredMethod): MethodInfo {
  const { name, axes, paper, summary } = method
  return { name, package: from, axes, paper: paper ?? null, summary, params: describeParams(method) }
}
