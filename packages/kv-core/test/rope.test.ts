import { frequencies, ShapeError } from '@kvfold/kv-core'
import { describe, expect, it } from 'vitest'

const DIM = 64
const plain = (theta: number, i: number): number => theta ** ((-2 * i) / DIM)

describe('rotary frequencies', () => {
  it('fall geometrically without scaling', () => {
    const { perPair, attentionFactor } = frequencies({ theta: 1e4 }, DIM, 10)
    expect(attentionFactor).toBe(1)
    perPair.forEach((f, i) => expect(f).toBeCloseTo(plain(1e4, i), 12))
  })

  it('linear: every position is divided by the factor', () => {
    const { perPair } = frequencies({ theta: 1e4, scaling: { type: 'linear', factor: 4 } }, DIM, 10)
    perPair.forEach((f, i) => expect(f).toBeCloseTo(plain(1e4, i) / 4, 12))
  })

  it('dynamic: unchanged up to the trained length, a larger base beyond it', () => {
    const scaling = { type: 'dynamic', factor: 2, maxPositions: 1000 } as const
    frequencies({ theta: 1e4, scaling }, DIM, 1000).perPair.forEach((f, i) => expect(f).toBeCloseTo(plain(1e4, i), 12))
    const base = 1e4 * ((2 * 3000) / 1000 - 1) ** (DIM / (DIM - 2))
    frequencies({ theta: 1e4, scaling }, DIM, 3000).perPair.forEach((f, i) => expect(f).toBeCloseTo(plain(base, i), 12))
  })

  it('llama3: fast pairs stay, slow ones are divided, and nothing jumps between', () => {
    const scaling = { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 8192 } as const
    const { perPair } = frequencies({ theta: 5e5, scaling }, DIM, 10)
    expect(perPair[0]).toBe(1)
    expect(perPair[DIM / 2 - 1]).toBeCloseTo(plain(5e5, DIM / 2 - 1) / 8, 15)
    perPair.forEach((f, i) => {
      const ratio = plain(5e5, i) / f
      expect(ratio).toBeGreaterThanOrEqual(1 - 1e-12)
      expect(ratio).toBeLessThanOrEqual(8 + 1e-12)
      if (i > 0) expect(f).toBeLessThan(perPair[i - 1])
    })
  })

  it('yarn: the same ends, and a factor on cos and sin', () => {
    const scaling = { type: 'yarn', factor: 4, originalMaxPositions: 4096 } as const
    const { perPair, attentionFactor } = frequencies({ theta: 1e4, scaling }, DIM, 10)
    expect(attentionFactor).toBeCloseTo(0.1 * Math.log(4) + 1, 12)
    expect(perPair[0]).toBe(1)
    expect(perPair[DIM / 2 - 1]).toBeCloseTo(plain(1e4, DIM / 2 - 1) / 4, 12)
  })

  it('refuse a theta that is no positive number', () => {
    expect(() => frequencies({ theta: 0 }, DIM, 1)).toThrow(ShapeError)
  })
})
