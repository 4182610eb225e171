import fc from 'fast-check'
import { expect, it } from 'vitest'
import { extremes } from '../src/extremes.ts'

it('finds what sorting finds, ties too, and leaves one where there are few', () => {
  const setting = fc.record({
    x: fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 40 }),
    each: fc.integer({ min: 0, max: 6 }).map((side) => 2 * side),
    shift: fc.integer({ min: 0, max: 3 }),
  })
  fc.assert(
    fc.property(setting, ({ x, each, shift }) => {
      const places = x.map((_, i) => shift + 2 * i)
      const numbers = Float32Array.from({ length: shift + 2 * x.length }, (_, i) => (i >= shift ? x[(i - shift) >> 1] : 0))
      const { out, others } = extremes(numbers, places, each)
      expect(out).toHaveLength(each)
      const sorted = [...places].sort((a, b) => numbers[a] - numbers[b])
      const side = Math.min(each / 2, Math.floor((x.length - 1) / 2))
      expect(out.slice(0, 2 * side)).toEqual([...sorted.slice(0, side), ...sorted.slice(sorted.length - side)])
      expect(places).toEqual(expect.arrayContaining(out))
      expect(others).toEqual(places.filter((place) => !out.includes(place)))
    }),
  )
})
