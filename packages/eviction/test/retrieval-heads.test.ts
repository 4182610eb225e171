import { razorattention, retrievalHeads, retrievalScore, type AttentionRow, type HeadScore } from '@kvfold/eviction'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const rows: AttentionRow[] = [
  [1, 0, 0, 0, 0, 0],
  [0.7, 0.3, 0, 0, 0, 0],
  [0.6, 0.2, 0.2, 0, 0, 0],
  [0.1, 0.6, 0.1, 0.2, 0, 0],
  [0.1, 0.5, 0.2, 0.1, 0.1, 0],
  [0.05, 0.2, 0.1, 0.5, 0.05, 0.1],
].map((attention, index) => ({ index, attention }))

describe('the score of a head', () => {
  it('the worked example, row by row and in the mean', () => {
    const each = rows.slice(2).map((row) => retrievalScore([row], 2))
    const close = (all: number[], expected: number[]): void => all.forEach((x, i) => expect(x).toBeCloseTo(expected[i], 6))
    close(
      each.map(({ echo }) => echo),
      [0.6, 0.6, 0.3, 0.7],
    )
    close(
      each.map(({ induction }) => induction),
      [0.2, 0.1, 0.6, 0.15],
    )
    const { echo, induction } = retrievalScore(rows, 2)
    close([echo, induction], [0.55, 0.2625])
  })

  it('rows may come one by one, in any order, and those of the first copy do not count', () => {
    function* stream(): Generator<AttentionRow> {
      yield* rows.toReversed()
    }
    expect(retrievalScore(stream(), 2).echo).toBeCloseTo(0.55, 6)
    expect(retrievalScore(rows.slice(0, 2), 2)).toEqual({ echo: 0, induction: 0 })
  })

  it('1 for a head that does nothing else', () => {
    const block = 7
    const ideal = (offset: number): AttentionRow[] =>
      Array.from({ length: 3 * block }, (_, i) => {
        const index = block + i
        return { index, attention: Float32Array.from({ length: 4 * block }, (_row, j) => (j === index - block + offset ? 1 : 0)) }
      })
    expect(retrievalScore(ideal(0), block)).toEqual({ echo: 1, induction: 0 })
    expect(retrievalScore(ideal(1), block)).toEqual({ echo: 0, induction: 1 })
  })
})

describe('the choice of heads', () => {
  const score = (echo: number, induction: number): HeadScore => ({ echo, induction })

  it('ranks the KV heads of the whole model together, each by its best query head', () => {
    // Two layers, two KV heads of two query heads: a share of 1/4 is one head of each kind.
    const scores = [
      [score(0, 0.1), score(0, 0.2), score(0.3, 0), score(0, 0)],
      [score(0, 0.9), score(0.1, 0), score(0.2, 0.85), score(0.25, 0.1)],
    ]
    expect(retrievalHeads(scores, 2, { echo: 0.25, induction: 0.25 })).toEqual([
      { layer: 0, head: 1 },
      { layer: 1, head: 0 },
    ])
    expect(retrievalHeads(scores, 2, { echo: 0, induction: 0.5 })).toEqual([
      { layer: 1, head: 0 },
      { layer: 1, head: 1 },
    ])
  })

  it('takes all that tie at the cut', () => {
    const scores = [[score(0, 0.5), score(0, 0.5), score(0, 0.1), score(0, 0.5)]]
    expect(retrievalHeads(scores, 4, { echo: 0, induction: 0.25 }).map(({ head }) => head)).toEqual([0, 1, 3])
  })

  it('by default 14 % by induction and 1 % by echo, of few heads none by echo', () => {
    const model = (layers: number): HeadScore[][] =>
      Array.from({ length: layers }, (_, layer) => Array.from({ length: 8 }, (_head, head) => score(-layer * 8 - head, layer * 8 + head)))
    expect(retrievalHeads(model(4), 8)).toHaveLength(4)
    expect(retrievalHeads(model(32), 8)).toHaveLength(36 + 3)
    expect(retrievalHeads(model(32), 8)[0]).toEqual({ layer: 0, head: 0 })
  })

  it('takes as many as it says, at least, and only better ones than those it leaves', () => {
    const heads = fc.array(fc.record({ echo: fc.integer({ min: 0, max: 9 }), induction: fc.integer({ min: 0, max: 9 }) }), {
      minLength: 1,
      maxLength: 40,
    })
    fc.assert(
      fc.property(heads, fc.double({ min: 0, max: 1, noNaN: true }), (all, induction) => {
        const chosen = retrievalHeads([all], all.length, { echo: 0, induction }).map(({ head }) => head)
        expect(chosen.length).toBeGreaterThanOrEqual(Math.round(induction * all.length))
        const left = all.filter((_, i) => !chosen.includes(i)).map((one) => one.induction)
        for (const i of chosen) for (const other of left) expect(all[i].induction).toBeGreaterThan(other)
      }),
    )
  })

  it('can be said to the method', () => {
    const heads = retrievalHeads([[score(0, 1), score(0, 0)]], 2, { induction: 0.5 })
    const text = heads.map(({ layer, head }) => `${layer}.${head}`).join(' ')
    expect(razorattention({ heads: text }).text).toContain('0.0')
  })
})
