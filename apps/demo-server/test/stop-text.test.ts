import fc from 'fast-check'
import { expect, it } from 'vitest'
import { StopText } from '../src/stop-text.ts'

const letters = fc.string({ unit: fc.constantFrom('a', 'b', '\n'), maxLength: 12 })
const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '\n'), minLength: 1, maxLength: 3 }), { maxLength: 3 })

it('lets the same through however the text comes in pieces', () => {
  fc.assert(
    fc.property(fc.array(letters), stops, (pieces, stops) => {
      const text = pieces.join('')
      const at = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0)
      const stop = new StopText(stops, false)
      const shown = pieces.map((piece) => stop.push(piece)).join('')
      expect(stop.ended).toBe(at.length > 0)
      expect(shown + stop.end()).toBe(at.length > 0 ? text.slice(0, Math.min(...at)) : text)
    }),
  )
})

it('leaves out white space before the first word, and finds no stop in it', () => {
  const stop = new StopText(['\n'], true)
  expect([' ', '\n', ' one', ' two\nthree', 'four'].map((piece) => stop.push(piece))).toEqual(['', '', 'one', ' two', ''])
  expect(stop.ended).toBe(true)
})
