import type { Rgb } from './palette.ts'

/** A map: a line for each head, those of a layer together, and a place for each token of a part of the sequence. */
export interface MapLayout {
  layers: number
  kvHeads: number
  /** The first token shown, and how many. */
  first: number
  tokens: number
  /** Pixels of the whole, of a head's line, and between two layers. */
  width: number
  line: number
  gap: number
}

export function mapHeight({ layers, kvHeads, line, gap }: MapLayout): number {
  return layers * kvHeads * line + (layers - 1) * gap
}

/** The y of a head's line. */
export function lineOf(head: number, { kvHeads, line, gap }: MapLayout): number {
  return head * line + Math.floor(head / kvHeads) * gap
}

/** The head at a y, or -1 between two layers. */
export function headAt(y: number, layout: MapLayout): number {
  const { layers, kvHeads, line, gap } = layout
  const layer = Math.floor(y / (kvHeads * line + gap)),
    within = Math.floor((y - layer * (kvHeads * line + gap)) / line)
  return layer >= 0 && layer < layers && within >= 0 && within < kvHeads ? layer * kvHeads + within : -1
}

/** The token at an x; it may lie beyond the sequence. */
export function tokenAt(x: number, { first, tokens, width }: MapLayout): number {
  return first + Math.floor((x * tokens) / width)
}

/** Where a token begins. */
export function xOf(token: number, { first, tokens, width }: MapLayout): number {
  return ((token - first) * width) / tokens
}

/**
 * The map as RGBA [height][width]. `states`: by head, of each token; `colours`: of each state. A pixel of several tokens has their mean
 * colour; what is not read yet is transparent.
 */
export function mapPixels(states: readonly Uint8Array[], colours: readonly Rgb[], layout: MapLayout): Uint8ClampedArray<ArrayBuffer> {
  const { width, line, first, tokens } = layout
  const pixels = new Uint8ClampedArray(width * mapHeight(layout) * 4)
  const table = new Uint8Array(colours.length * 3)
  colours.forEach((colour, state) => table.set(colour, state * 3))
  for (const [head, own] of states.entries()) {
    const y = lineOf(head, layout)
    const start = y * width * 4
    for (let x = 0; x < width; x++) {
      const from = Math.floor(first + (x * tokens) / width)
      const to = Math.min(own.length, Math.max(from + 1, Math.floor(first + ((x + 1) * tokens) / width)))
      if (to <= from) break
      let red = 0,
        green = 0,
        blue = 0
      for (let token = from; token < to; token++) {
        const at = own[token] * 3
        red += table[at]
        green += table[at + 1]
        blue += table[at + 2]
      }
      const count = to - from,
        at = start + x * 4
      pixels[at] = red / count
      pixels[at + 1] = green / count
      pixels[at + 2] = blue / count
      pixels[at + 3] = 255
    }
    for (let row = 1; row < line; row++) pixels.copyWithin(start + row * width * 4, start, start + width * 4)
  }
  return pixels
}
