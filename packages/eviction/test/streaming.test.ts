import { streaming } from '@kvfold/eviction'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ascending, cases, headOf, isAscending, keep, lastAxis, newest, readGolden } from './support.ts'

const nothing = { moment: 'prefill', group: 1 } as const

it('the worked example: two sinks, three recent rows of ten', () => {
  expect(keep(streaming({ sinks: 2 }), nothing, headOf(10), 5)).toEqual([0, 1, 7, 8, 9])
})

describe('published implementations', () => {
  const known = cases.filter(({ id }) => id.startsWith('streaming'))
  it.each(known.map((call) => [call.source.repo, call.id, call] as const))('%s %s', (_repo, _id, { file, args, outputs }) => {
    const kept = readGolden(file)[outputs['kept']]
    const [heads, rows] = kept.shape.slice(-2)
    const sinks: number = args['n_sink'] ?? args['max_capacity_prompt'] - args['window_size']
    for (let h = 0; h < heads; h++) expect(keep(streaming({ sinks }), nothing, headOf(96), rows)).toEqual(ascending(lastAxis(kept, h)))
  })

  it('are all there', () => expect(known).toHaveLength(4))
})

it('keeps min(rows, budget) rows: sinks, then the newest', () => {
  const size = fc.integer({ min: 1, max: 30 })
  fc.assert(
    fc.property(size, size, fc.integer({ min: 0, max: 8 }), (rows, budget, sinks) => {
      const kept = keep(streaming({ sinks }), nothing, headOf(rows), budget)
      expect(isAscending(kept, rows)).toBe(true)
      expect(kept).toHaveLength(Math.min(rows, budget))
      const first = Math.min(sinks, rows, budget - 1)
      expect(kept.slice(0, first)).toEqual(newest(first, first))
      expect(kept.slice(first)).toEqual(newest(rows, Math.min(rows, budget) - first))
    }),
  )
})

describe('edges', () => {
  it('knows sinks by their position', () => {
    expect(keep(streaming({ sinks: 2 }), { ...nothing, moment: 'decode' }, headOf(5, [0, 1, 40, 41, 42]), 4)).toEqual([0, 1, 3, 4])
    expect(keep(streaming({ sinks: 2 }), nothing, headOf(5, [10, 11, 40, 41, 42]), 3)).toEqual([2, 3, 4])
  })

  it('takes no rows', () => expect(keep(streaming(), nothing, headOf(0), 3)).toEqual([]))

  it('scores newer rows higher, for other selectors', () => {
    expect(Array.from(streaming({ sinks: 1 }).score!.score(nothing, headOf(4)))).toEqual([Infinity, 1, 2, 3])
  })

  it('has room for 512 rows besides the sinks, unless given a budget', () => {
    expect(streaming({ sinks: 8 }).fallback?.budget?.size).toEqual({ tokens: 520 })
    expect(streaming({ budget: 100 }).budget?.size).toEqual({ tokens: 100 })
  })
})
