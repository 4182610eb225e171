const UNITS = ['B', 'kB', 'MB', 'GB']

/** Bytes with three digits. */
export function bytes(count: number): string {
  let unit = 0,
    size = count
  for (; size >= 1000 && unit < UNITS.length - 1; unit++) size /= 1000
  return `${unit === 0 || size === Math.round(size) ? size : size.toPrecision(3)} ${UNITS[unit]}`
}

export function duration(ms: number): string {
  return ms >= 1000 ? `${(ms / 1000).toPrecision(3)} s` : `${ms.toPrecision(3)} ms`
}

function times(whole: number, part: number): string {
  const ratio = whole / part
  return ratio >= 100 ? ratio.toFixed(0) : ratio.toPrecision(ratio >= 10 ? 3 : 2)
}

/** Within this share two sizes count as the same. */
const NEAR = 0.05

/** How much smaller a part is than the whole; some policies keep more than they save of a short text. */
export function compared(whole: number, part: number): string {
  if (part > whole * (1 + NEAR)) return `${times(part, whole)}× larger`
  return part < whole * (1 - NEAR) ? `${times(whole, part)}× smaller` : 'As large'
}

export function count(number: number): string {
  return number.toLocaleString('en')
}
