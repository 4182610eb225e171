import { protectRecent, protectSinks, topRows } from '@kvfold/kv-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const score = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.float({ noNaN: false }), fc.constantFrom(Infinity, -Infinity, NaN))

describe('topRows', () => {
  it('keeps what a stable sort by falling score would keep', () => {
    fc.assert(
      fc.property(fc.array(score, { maxLength: 60 }), fc.integer({ min: 0, max: 70 }), (scores, count) => {
        const data = Float32Array.from(scores)
        const value = (i: number): number => (Number.isNaN(data[i]) ? -Infinity : data[i])
        // Infinity - Infinity is NaN, so compare by order, not by difference.
        const order = [...data.keys()].sort((a, b) => (value(a) === value(b) ? a - b : value(a) > value(b) ? -1 : 1))
        expect([...topRows(data, count)]).toEqual(order.slice(0, count).sort((a, b) => a - b))
      }),
    )
  })

  it('keeps the older row of a tie', () => {
    expect([...topRows(Float32Array.of(1, 2, 1, 2, 1), 3)]).toEqual([0, 1, 3])
  })
})

describe('protection', () => {
  it('covers the newest rows, and the sinks that are still there', () => {
    expect([...protectRecent(new Float32Array(4), 2)]).toEqual([0, 0, Infinity, Infinity])
    expect([...protectRecent(new Float32Array(2), 9)]).toEqual([Infinity, Infinity])
    expect([...protectSinks(new Float32Array(4), 3, Float32Array.of(0, 2, 5, 6))]).toEqual([Infinity, Infinity, 0, 0])
    expect([...protectSinks(new Float32Array(4), 3, Float32Array.of(5, 6, 0, 2))]).toEqual([0, 0, Infinity, Infinity])
  })
})
