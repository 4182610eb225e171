import { fromHalf, toHalf } from '@kvfold/kernels'
import type { PageRun } from '@kvfold/kv-core'
import { putSymbols, type SymbolKind, takeSymbols } from './page-symbols.ts'

/** The low and the high bytes of halves. */
type Halves = readonly [SymbolKind, SymbolKind]

/** Where pages have codes, scales and minima, row by row: the groups of the latter two. */
export function scalesAndMinima(
  { parts, shared }: PageRun,
  groups: readonly SymbolKind[][],
): { scales: Halves; minima: Halves } | undefined {
  if (parts.length !== 3 || shared.length > 0) return undefined
  const [scaleLow, scaleHigh, minimumLow, minimumHigh] = groups.slice(-4).map(([kind]) => kind)
  return { scales: [scaleLow, scaleHigh], minima: [minimumLow, minimumHigh] }
}

/** The code of zero, if it is the same whole number everywhere, so that minima follow from scales: minimum = -code * scale. Else 0. */
export function zeroPoint(bytes: Uint8Array, { scales, minima }: { scales: Halves; minima: Halves }): number {
  const scale = takeHalves(bytes, scales),
    minimum = takeHalves(bytes, minima)
  const some = scale.findIndex((half) => fromHalf(half) !== 0)
  const zero = some < 0 ? 1 : Math.round(-fromHalf(minimum[some]) / fromHalf(scale[some]))
  return zero >= 1 && zero <= 255 && minimum.every((half, i) => half === minimumOf(scale[i], zero)) ? zero : 0
}

/** Puts the minima that follow from scales. */
export function putMinima(bytes: Uint8Array, { scales, minima }: { scales: Halves; minima: Halves }, zero: number): void {
  const halves = takeHalves(bytes, scales).map((half) => minimumOf(half, zero))
  putSymbols(
    bytes,
    minima[0],
    Uint8Array.from(halves, (half) => half & 255),
  )
  putSymbols(
    bytes,
    minima[1],
    Uint8Array.from(halves, (half) => half >> 8),
  )
}

function minimumOf(scale: number, zero: number): number {
  return toHalf(-zero * fromHalf(scale))
}

function takeHalves(bytes: Uint8Array, [low, high]: Halves): Uint16Array {
  const halves = new Uint16Array(low.count)
  const symbols = new Uint8Array(low.count)
  takeSymbols(bytes, low, symbols)
  halves.set(symbols)
  takeSymbols(bytes, high, symbols)
  return halves.map((half, i) => half | (symbols[i] << 8))
}
