import {
  BudgetError,
  budgetSize,
  compose,
  describeParams,
  PolicyConflictError,
  PolicySyntaxError,
  parsePolicyText,
  Registry,
} from '@kvfold/kv-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as toys from './toy-methods.ts'
import { average, away, largest, mixed, packed } from './toy-methods.ts'

const registry = new Registry({ toys })

describe('policy text', () => {
  it('reads presets, parameters and values of every kind', () => {
    expect(parsePolicyText('full')).toEqual([])
    expect(parsePolicyText('')).toEqual([])
    expect(parsePolicyText(' SnapKV( budget = 25% , window=16,soft=true )+kivi(bits=2) + disk(path="a, b")')).toEqual([
      { method: 'snapkv', params: { budget: '25%', window: 16, soft: true } },
      { method: 'kivi', params: { bits: 2 } },
      { method: 'disk', params: { path: 'a, b' } },
    ])
  })

  it.each(['snapkv(', 'snapkv(budget)', 'snapkv(budget=)', 'snapkv(budget=1', '+ kivi', 'kivi kivi', 'a(b=1, b=2)', 'a(b="1)', '3'])(
    'refuses %j',
    (text) => {
      expect(() => parsePolicyText(text)).toThrow(PolicySyntaxError)
    },
  )

  it('never fails in another way, whatever is typed', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab(=)+, "1%.') }), (text) => {
        try {
          parsePolicyText(text)
        } catch (error) {
          expect(error).toBeInstanceOf(PolicySyntaxError)
        }
      }),
    )
  })

  it('names what is unknown, and what was probably meant', () => {
    expect(() => registry.policy('larges(budget=3)')).toThrow(/no method "larges". Did you mean "largest"\?/)
    expect(() => registry.policy('largest(budgets=3)')).toThrow(/no parameter "budgets": it knows budget, decode/)
    expect(() => registry.policy('packed(bits=3)')).toThrow(PolicySyntaxError)
  })

  it('gives the same policy again from its own text', () => {
    const text = registry.policy('largest(budget=7, decode=false)+average +packed( bits=4 )').text
    expect(text).toBe('largest(budget=7, decode=false) + average + packed(bits=4)')
    expect(registry.policy(text).text).toBe(text)
  })
})

describe('the registry', () => {
  it('finds methods among all that a package exports, sorted', () => {
    expect(registry.list().map(({ method, package: from }) => `${from}/${method.name}`)).toEqual(
      ['aging', 'average', 'away', 'largest', 'mixed', 'opaque', 'packed', 'remembers'].map((name) => `toys/${name}`),
    )
  })

  it('describes parameters from their schema', () => {
    expect(describeParams(packed)[1]).toEqual({ name: 'residual', description: '', default: 32, schema: { type: 'number' } })
  })
})

describe('compose', () => {
  it('refuses two presets for one axis, and names both', () => {
    expect(() => compose(packed(), mixed())).toThrow(PolicyConflictError)
    expect(() => compose(packed(), mixed())).toThrow(/packed and mixed both decide the axis "encode"/)
    expect(() => compose(packed(), packed())).toThrow(/packed is there twice/)
  })

  it('refuses an axis that does nothing alone', () => {
    expect(() => compose(average())).toThrow(/average decides the axis "fold", which does nothing without "score"/)
    expect(() => compose(average(), away())).toThrow(PolicyConflictError)
  })

  it('does not depend on the order of presets', () => {
    const one = compose(largest(), average(), packed()),
      other = compose(packed(), average(), largest())
    expect(one.columns).toEqual(other.columns)
    expect(one.needs).toEqual(other.needs)
  })
})

describe('budgets', () => {
  it('are tokens, shares or bytes', () => {
    expect(budgetSize(512)).toEqual({ tokens: 512 })
    expect(budgetSize('512')).toEqual({ tokens: 512 })
    expect(budgetSize(0.25)).toEqual({ ratio: 0.25 })
    expect(budgetSize('25%')).toEqual({ ratio: 0.25 })
    expect(budgetSize('100%')).toEqual({ ratio: 1 })
    expect(budgetSize('8MiB')).toEqual({ bytes: 8 * 2 ** 20 })
    expect(budgetSize('1.5kb')).toEqual({ bytes: 1500 })
  })

  it.each([0, -1, 1.5, NaN, Infinity, '0%', '101%', '0B', 'ten', ''])('refuse %j', (value) => {
    expect(() => budgetSize(value)).toThrow(BudgetError)
  })
})
