import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chooseLevels } from '../src/index.ts'

const mega = (...sizes: number[]): number[] => sizes.map((size) => size * 1e6)

describe('a level for each chunk', () => {
  it('is, by the script, the best that meets an equal share of the deadline', () => {
    // At 8 Mbit/s a megabyte takes a second; each of four chunks has one.
    const chunks = [mega(0.5, 0.8, 0.99), mega(0.5, 0.8, 1), mega(0.9, 1.2, 3), mega(1.1, 2, 3)]
    expect(chooseLevels({ chunks, bandwidth: 8e6, deadline: 4, slack: 'even' })).toEqual({
      levels: [3, 2, 1, 'text'],
      seconds: expect.closeTo(0.99 + 0.8 + 0.9 + 0.2, 9),
    })
  })

  it('is, by the paper, the best with which all that follow meet what is left of it', () => {
    const chunks = Array.from({ length: 3 }, () => mega(1, 2, 4))
    const answer = (deadline: number, recompute?: number): ReturnType<typeof chooseLevels> =>
      chooseLevels({ chunks, bandwidth: 8e6, deadline, recompute, slack: 'carried' })
    expect(answer(12.1)).toEqual({ levels: [3, 3, 3], seconds: 12 })
    // First as if all came at level 2; then there is time for the last to be better.
    expect(answer(8.1)).toEqual({ levels: [2, 2, 3], seconds: 8 })
    // One chunk as text saves the time that the others need.
    expect(answer(2.9, 0.2)).toEqual({ levels: ['text', 1, 1], seconds: expect.closeTo(2.2, 9) })
  })

  it('goes by the bandwidth that the chunk before had', () => {
    const chunks = Array.from({ length: 3 }, () => mega(1, 2))
    const { levels, seconds } = chooseLevels({ chunks, bandwidth: [16e6, 8e6, 16e6], deadline: 4.5, slack: 'even' })
    expect(levels).toEqual([2, 2, 1])
    expect(seconds).toBeCloseTo(1 + 2 + 0.5, 9)
  })

  it('is never worse for more time or bandwidth, and in time if it is not text', () => {
    const setting = fc.record({
      chunks: fc.array(
        fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 3, maxLength: 3 }).map((sizes) => sizes.sort((a, b) => a - b)),
        { minLength: 1, maxLength: 8 },
      ),
      deadline: fc.double({ min: 0.1, max: 20, noNaN: true }),
      bandwidth: fc.integer({ min: 1, max: 10_000 }),
      slack: fc.constantFrom('even' as const, 'carried' as const),
    })
    fc.assert(
      fc.property(setting, ({ chunks, deadline, bandwidth, slack }) => {
        const { levels, seconds } = chooseLevels({ chunks, bandwidth, deadline, slack })
        if (!levels.includes('text')) expect(seconds).toBeLessThan(deadline * (1 + 1e-9))
        const first = (more: number): number => {
          const [level] = chooseLevels({ chunks, bandwidth: bandwidth * more, deadline, slack }).levels
          return level === 'text' ? 0 : level
        }
        expect(first(2)).toBeGreaterThanOrEqual(first(1))
      }),
    )
  })

  it('needs a deadline and a bandwidth', () => {
    for (const wrong of [{ deadline: 0 }, { bandwidth: 0 }, { bandwidth: [1] }, { deadline: NaN }, { bandwidth: Infinity }])
      expect(() => chooseLevels({ chunks: [[1], [1]], bandwidth: 1, deadline: 1, slack: 'even', ...wrong })).toThrow(/must be positive/)
  })
})
