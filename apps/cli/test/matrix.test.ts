import { type CacheShape, compose, describeParams, PolicyConflictError, type Method, type Preset } from '@kvfold/kv-core'
import { testMethod } from '@kvfold/kv-core/testing'
import { describe, expect, it } from 'vitest'
import { registry } from '../src/registry.ts'
import { randomModel } from './random-model.ts'

// Small enough for the laws' short prompts: what is not listed keeps its default.
const SMALL: Record<string, unknown> = { budget: 48, window: 8, residual: 32, resident: 32, sinks: 2, chunk: 40, every: 3 }
const SHAPE: CacheShape = { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64, rope: { theta: 10_000 } }

const MODEL = randomModel(SHAPE)

const methods = registry.list().map(({ method }) => method)

function small(method: Method, budget: boolean, rows = SMALL['budget']): Preset {
  const known = new Set(describeParams(method).map(({ name }) => name))
  const params = Object.entries(SMALL).filter(([name]) => known.has(name) && name !== 'budget')
  return method({ ...Object.fromEntries(params), ...(budget && takesBudget(method) && { budget: rows }) })
}

const takesBudget = (method: Method): boolean => 'budget' in method.params.shape

/** A method with its budget, and without one if another preset may bring it. */
const variants = (method: Method): (() => Preset)[] => [
  () => small(method, true),
  ...(takesBudget(method) ? [() => small(method, false)] : []),
]

const combinations: (() => Preset)[][] = [
  ...methods.flatMap((method) => variants(method).map((make) => [make])),
  ...methods.flatMap((one, i) => methods.slice(i).flatMap((other) => variants(one).flatMap((a) => variants(other).map((b) => [a, b])))),
]

/** Whatever makes rows leave, in chunks of a prompt too: unpacked, packed, on disk. */
for (const method of methods.filter(takesBudget)) {
  for (const others of [['kivi'], ['disk'], ['kivi', 'disk']])
    // Above a page, so that pages are full and leave.
    combinations.push([() => small(method, true, 110), ...['trigger', ...others].map((name) => () => small(registry.get(name), true))])
}

/** As many methods at once as go together, starting from each. */
for (const first of methods) {
  const parts = [() => small(first, true)]
  for (const other of methods) {
    const add = (): Preset => small(other, false)
    if (other !== first && composes([...parts, add])) parts.push(add)
  }
  combinations.push(parts)
}

function composes(parts: (() => Preset)[]): boolean {
  try {
    compose(...parts.map((part) => part()))
    return true
  } catch {
    return false
  }
}

const conflicts: string[] = []
for (const parts of combinations) {
  const make = (): Preset[] => parts.map((part) => part())
  const name = make()
    .map(({ text }) => text)
    .join(' + ')
  try {
    compose(...make())
  } catch (error) {
    if (!(error instanceof PolicyConflictError)) throw error
    conflicts.push(`${name}: ${error.message}`)
    continue
  }
  testMethod(name, make, { describe, it }, { shape: SHAPE, model: MODEL })
}

describe('every pair of methods', () => {
  it('works, or is refused with both names', () => {
    for (const conflict of conflicts) {
      const [names, message] = conflict.split(': ')
      const named = [...new Set(names.split(' + ').map((text) => text.split('(')[0]))].filter((method) => message.includes(method))
      // A part that does nothing alone is no conflict of two.
      const expected = /does nothing without|is there twice/.test(message) ? 1 : 2
      expect(named.length, `${names}: ${message}`).toBeGreaterThanOrEqual(expected)
    }
    expect(conflicts.length).toBeGreaterThan(0)
    expect(combinations.length - conflicts.length).toBeGreaterThan(2 * methods.length)
  })
})
