import fc from 'fast-check'
import { expect, it } from 'vitest'
import { StopText } from '../src/stop-text.ts'

const letters = fc.string({ unit: fc.constantFrom('a', 'b', '\n'), maxLength: 12 })
const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '\n'), minLength: 1, maxLength: 3 }), { maxLength: 3 })

/** Where the text is cut: at the beginning of the stop that is complete first, read letter by letter. */
function cutOf(text: string, stops: readonly string[]): number | undefined {
  for (let end = 1; end <= text.length; end++) {
    const longest = stops.filter((stop) => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)[0]
    if (longest) return end - longest.length
  }
  return undefined
}

it('lets the same through however the text comes in pieces', () => {
  fc.assert(
    fc.property(fc.array(letters), stops, (pieces, stops) => {
      const text = pieces.join('')
      const cut = cutOf(text, stops)
      const stop = new StopText(stops, false)
      const shown = pieces.map((piece) => stop.push(piece)).join('')
      expect(stop.ended).toBe(cut !== undefined)
      expect(shown + stop.end()).toBe(text.slice(0, cut))
    }),
    {
      examples: [
        [
          ['ab', 'ba'],
          ['abba', 'b'],
        ],
      ],
    },
  )
})

it('leaves out white space before the first word, and finds no stop in it', () => {
  const stop = new StopText(['\n'], true)
  expect([' ', '\n', ' one', ' two\nthree', 'four'].map((piece) => stop.push(piece))).toEqual(['', '', 'one', ' two', ''])
  expect(stop.ended).toBe(true)
})
