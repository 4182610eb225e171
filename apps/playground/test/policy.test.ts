import { parsePolicyText } from '@kvfold/kv-core'
import { describe, expect, it } from 'vitest'
import { budgetAt, placeOf, readBudget } from '../src/policy/budget.ts'
import { choose, setParam } from '../src/policy/edit.ts'
import { axesOf, policyText } from '../src/policy/preset-text.ts'
import { registry } from '../src/registry.ts'

const chosen = (text: string, axis: Parameters<typeof choose>[1], method: string): string =>
  policyText(choose(parsePolicyText(text), axis, method))

describe('choosing a method for an axis', () => {
  it('puts it in the place of the one before, with its budget', () => {
    expect(chosen('snapkv(budget=10%, window=16) + kivi', 'score', 'h2o')).toBe('h2o(budget=10%) + kivi')
    expect(chosen('kivi(bits=4)', 'score', 'keydiff')).toBe('kivi(bits=4) + keydiff(budget=25%)')
  })

  it('takes over the budget, and leaves the scores to the other', () => {
    expect(chosen('snapkv(budget=512)', 'budget', 'adakv')).toBe('snapkv + adakv(budget=512)')
    expect(chosen('snapkv + adakv(budget=512)', 'budget', 'snapkv')).toBe('snapkv(budget=512)')
  })

  it('takes a method away', () => {
    expect(chosen('streaming(budget=25%) + chunkkv', 'select', '')).toBe('streaming(budget=25%)')
    expect(chosen('snapkv(budget=25%) + kivi', 'encode', '')).toBe('snapkv(budget=25%)')
    expect(chosen('kivi', 'encode', '')).toBe('full')
  })

  it('makes a policy that runs, or one whose conflict has a message, whatever is chosen first', () => {
    for (const { method } of registry.list())
      for (const axis of method.axes) {
        const text = chosen('full', axis, method.name)
        expect(text).toContain(method.name)
        expect(axesOf(parsePolicyText(text)[0])).toContain(axis)
      }
  })
})

describe('the text of a policy', () => {
  it('is read back as it was written', () => {
    const presets = parsePolicyText('razorattention(budget=25%, heads="2.0 5.1") + snapkv + protect(sinks=8)')
    expect(parsePolicyText(policyText(presets))).toEqual(presets)
  })

  it('has a parameter in its place, or not at all where it is the default', () => {
    const presets = parsePolicyText('kivi(bits=4, residual=32)')
    expect(policyText(setParam(presets, 'kivi', 'bits', 8))).toBe('kivi(bits=8, residual=32)')
    expect(policyText(setParam(presets, 'kivi', 'bits', undefined))).toBe('kivi(residual=32)')
  })
})

describe('a budget on its slider', () => {
  it.each(['25%', '1%', '100%', 16, 512, 4096, '64KiB', '2.0MiB'])('stays where it is: %s', (budget) => {
    const { unit, size } = readBudget(budget)!
    expect(Math.abs(readBudget(budgetAt(unit, placeOf(unit, size)))!.size / size - 1)).toBeLessThan(0.03)
  })
})
