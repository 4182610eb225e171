import { describe, expect, it } from 'vitest'
import { firstDifference } from '../src/run.ts'
import { bytes, compared } from '../src/view/format.ts'

describe('how answers are compared', () => {
  it.each([
    [33.3e6, 1.55e6, '21.5× smaller'],
    [1000, 1020, 'As large'],
    [1000, 1500, '1.5× larger'],
  ])('says how %i bytes and %i differ', (whole, part, text) => expect(compared(whole, part)).toBe(text))

  it.each([
    [['a', 'b'], ['a', 'b'], undefined],
    [['a', 'b'], ['a', 'c'], 1],
    [['a', 'b'], ['a'], 1],
    [['a'], ['a', 'b'], 1],
  ])('finds where %j and %j part', (full, small, at) => expect(firstDifference(full, small)).toBe(at))

  it('writes bytes with three digits', () => {
    expect([0, 999, 1000, 1234567, 33_300_000].map(bytes)).toEqual(['0 B', '999 B', '1 kB', '1.23 MB', '33.3 MB'])
  })
})
