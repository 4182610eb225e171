import { headAt, lineOf, mapHeight, mapPixels, tokenAt, xOf, type MapLayout, type Rgb } from '@kvfold/picture'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const layouts = fc.record({
  layers: fc.integer({ min: 1, max: 5 }),
  kvHeads: fc.integer({ min: 1, max: 4 }),
  first: fc.integer({ min: 0, max: 50 }),
  tokens: fc.integer({ min: 1, max: 300 }),
  width: fc.integer({ min: 1, max: 200 }),
  line: fc.integer({ min: 1, max: 6 }),
  gap: fc.integer({ min: 0, max: 3 }),
})
const colours: Rgb[] = Array.from({ length: 256 }, (_, state) => [state, 255 - state, (state * 7) % 256])

describe('the map', () => {
  it('has the mean colour of the tokens of a pixel', () => {
    fc.assert(
      fc.property(layouts, fc.integer({ min: 0, max: 400 }), fc.integer(), (layout, length, seed) => {
        const { layers, kvHeads, width, line } = layout
        const states = Array.from({ length: layers * kvHeads }, (_, head) =>
          Uint8Array.from({ length }, (_, token) => Math.abs((head * 31 + token * 17 + seed) % 256)),
        )
        const pixels = mapPixels(states, colours, layout)
        expect(pixels).toHaveLength(width * mapHeight(layout) * 4)
        for (let head = 0; head < layers * kvHeads; head++)
          for (let x = 0; x < width; x++) {
            const from = Math.floor(layout.first + (x * layout.tokens) / width)
            const to = Math.min(length, Math.max(from + 1, Math.floor(layout.first + ((x + 1) * layout.tokens) / width)))
            for (let row = 0; row < line; row++) {
              const at = ((lineOf(head, layout) + row) * width + x) * 4
              expect(pixels[at + 3]).toBe(to > from ? 255 : 0)
              if (to <= from) continue
              const mean = states[head].subarray(from, to).reduce((sum, state) => sum + colours[state][0], 0) / (to - from)
              expect(Math.abs(pixels[at] - mean)).toBeLessThanOrEqual(0.5)
            }
          }
      }),
      { numRuns: 60 },
    )
  })

  it('finds heads and tokens where they are drawn', () => {
    fc.assert(
      fc.property(layouts, (layout: MapLayout) => {
        const { layers, kvHeads, line, gap, first, tokens } = layout
        for (let head = 0; head < layers * kvHeads; head++) {
          expect(headAt(lineOf(head, layout), layout)).toBe(head)
          expect(headAt(lineOf(head, layout) + line - 1, layout)).toBe(head)
        }
        if (gap > 0 && layers > 1) expect(headAt(kvHeads * line, layout)).toBe(-1)
        expect(headAt(mapHeight(layout) + gap, layout)).toBe(-1)
        expect(headAt(-1, layout)).toBe(-1)
        for (const token of [first, first + tokens - 1]) expect(tokenAt(xOf(token, layout) + 1e-6, layout)).toBe(token)
      }),
    )
  })
})
