import { klDivergence, logSoftmax, recall } from '@kvfold/eval'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const logits = fc
  .array(fc.float({ min: -30, max: 30, noNaN: true }), { minLength: 2, maxLength: 50 })
  .map((values) => Float32Array.from(values))

describe('metrics', () => {
  it('log-softmax: probabilities add up to one, and a shift of all logits changes nothing', () => {
    fc.assert(
      fc.property(logits, (values) => {
        const logs = logSoftmax(values)
        expect(logs.reduce((sum, log) => sum + Math.exp(log), 0)).toBeCloseTo(1, 9)
        const shifted = logSoftmax(Float32Array.from(values, (value) => Math.round(value) + 1000))
        const plain = logSoftmax(Float32Array.from(values, (value) => Math.round(value)))
        shifted.forEach((log, i) => expect(log).toBeCloseTo(plain[i], 9))
      }),
    )
  })

  it('KL divergence: zero for the same distribution, by hand for a small one', () => {
    fc.assert(
      fc.property(logits, (values) => {
        expect(klDivergence(logSoftmax(values), logSoftmax(values))).toBe(0)
      }),
    )
    const p = logSoftmax(Float32Array.of(0, 0)),
      q = logSoftmax(Float32Array.of(0, Math.log(3)))
    expect(klDivergence(p, q)).toBeCloseTo(0.5 * Math.log(0.5 / 0.25) + 0.5 * Math.log(0.5 / 0.75), 6)
  })

  it('recall counts whole words', () => {
    expect(recall('one, two and three', ['two', 'four'])).toBe(0.5)
    expect(recall('12345678', ['1234567'])).toBe(0)
    expect(recall('', ['x'])).toBe(0)
  })
})
