import type { RowStorage } from '@kvfold/kv-core/history'

/** Red, green and blue, 0 to 255. */
export type Rgb = readonly [number, number, number]

/** The colours of a picture. */
export interface Palette {
  paper: Rgb
  ink: Rgb
  /** Behind rows that are gone. */
  dropped: Rgb
  folded: Rgb
  away: Rgb
  /** Of rows in about 2, 4, 8, 16 and 32 bits. */
  bits: readonly [Rgb, Rgb, Rgb, Rgb, Rgb]
}

export const light: Palette = {
  paper: [255, 255, 255],
  ink: [28, 32, 38],
  dropped: [236, 238, 241],
  folded: [190, 184, 205],
  away: [142, 91, 217],
  bits: [
    [214, 73, 22],
    [233, 163, 12],
    [42, 161, 120],
    [35, 122, 184],
    [29, 72, 150],
  ],
}

export const dark: Palette = {
  paper: [20, 22, 26],
  ink: [230, 233, 238],
  dropped: [38, 42, 49],
  folded: [94, 87, 118],
  away: [178, 132, 250],
  bits: [
    [255, 118, 64],
    [247, 198, 70],
    [52, 205, 154],
    [74, 170, 240],
    [104, 152, 255],
  ],
}

/** Bits of a number, keys and values together. */
export function bitsOf({ keys, values }: RowStorage): number {
  return (keys.bits + values.bits) / 2
}

/** The colour of rows that are stored so. */
export function colourOf(storage: RowStorage, palette: Palette): Rgb {
  if (storage.keys.tier ?? storage.values.tier) return palette.away
  const bits = bitsOf(storage)
  return palette.bits[MOST_BITS.findIndex((most) => bits <= most)]
}

/** With their scales, codes of 2 bits take up to 3.5, and so on. */
const MOST_BITS = [3.5, 7, 12, 24, Infinity]

/** From one colour to another: share 0 to 1. */
export function mix(from: Rgb, to: Rgb, share: number): Rgb {
  return [0, 1, 2].map((i) => Math.round(from[i] + (to[i] - from[i]) * share)) as unknown as Rgb
}

export function css([red, green, blue]: Rgb, alpha: number = 1): string {
  return alpha === 1 ? `rgb(${red}, ${green}, ${blue})` : `rgba(${red}, ${green}, ${blue}, ${alpha})`
}
