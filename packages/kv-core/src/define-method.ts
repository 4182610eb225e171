import { z } from 'zod'
import type { Axis } from './axes.ts'
import { BudgetError, PolicySyntaxError } from './errors.ts'
import type { Method, MethodSpec, Parts, Preset } from './method.ts'

const AXES: readonly Axis[] = ['budget', 'score', 'protect', 'select', 'fold', 'encode', 'place', 'attention', 'trigger']

/** Declares a method. Registers nothing by itself: a package exports its methods, an app registers the packages it uses. */
export function defineMethod<Schema extends z.ZodObject>(spec: MethodSpec<Schema>): Method<Schema> {
  const call = (params?: z.input<Schema>): Preset => {
    const parsed = parse(spec, params ?? {})
    const parts = spec.create(parsed)
    for (const axis of AXES) {
      if (parts[axis] && !spec.axes.includes(axis)) throw new TypeError(`${spec.name} fills ${axis}, which it does not declare.`)
    }
    return { ...parts, method: spec.name, text: presetText(spec.name, params ?? {}) }
  }
  // A function's own `name` is read-only; redefine it with the method's.
  return Object.defineProperties(call, {
    name: { value: spec.name },
    axes: { value: spec.axes },
    paper: { value: spec.paper },
    summary: { value: spec.summary },
    params: { value: spec.params },
    create: { value: spec.create },
  }) as unknown as Method<Schema>
}

function parse<Schema extends z.ZodObject>(spec: MethodSpec<Schema>, params: object): z.output<Schema> {
  const shape = spec.params.shape as Record<string, unknown>
  const unknown = Object.keys(params).find((key) => !(key in shape))
  if (unknown)
    throw new PolicySyntaxError(`${spec.name} has no parameter "${unknown}": it knows ${Object.keys(shape).join(', ') || 'none'}.`)
  let result
  try {
    result = spec.params.safeParse(params)
  } catch (error) {
    if (error instanceof BudgetError) throw new BudgetError(`${spec.name}: ${error.message}`)
    throw error
  }
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw new PolicySyntaxError(`${spec.name}(${issue.path.join('.')}): ${issue.message}. See \`kvfold methods ${spec.name}\`.`)
}

/** A preset as policy text, parameters that are undefined left out. */
export function presetText(name: string, params: object): string {
  const given = Object.entries(params).filter(([, value]) => value !== undefined)
  return given.length === 0 ? name : `${name}(${given.map(([key, value]) => `${key}=${valueText(value)}`).join(', ')})`
}

function valueText(value: unknown): string {
  if (typeof value === 'string') return isBareWord(value) ? value : `"${value}"`
  if (typeof value !== 'object' || value === null) return String(value)
  const size = value as Record<string, number>
  if ('ratio' in size) return `${size['ratio'] * 100}%`
  if ('bytes' in size) return `${size['bytes']}B`
  return String(size['tokens'])
}

/** True for text that a policy text may hold without quotes: anything else would end it, or be read as something else. */
function isBareWord(text: string): boolean {
  return /^[^\s,()+"']+$/.test(text) && text !== 'true' && text !== 'false' && !Number.isFinite(Number(text))
}

/** The axes that some parts fill. */
export function filledAxes(parts: Parts): Axis[] {
  return AXES.filter((axis) => parts[axis] !== undefined)
}
