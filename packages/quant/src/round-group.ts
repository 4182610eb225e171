/** Minimum, step = (max - min) / levels (1 where all are equal), and codes = (x - minimum) / step, halves to the even one. */
export function roundGroup(x: Float32Array, levels: number): { low: number; step: number; codes: Uint8Array } {
  if (x.length === 0) return { low: 0, step: 1, codes: new Uint8Array(0) }
  let low = Infinity,
    high = -Infinity
  for (const value of x) {
    if (value < low) low = value
    if (value > high) high = value
  }
  const step = high === low ? 1 : Math.fround(Math.fround(high - low) / levels)
  const codes = new Uint8Array(x.length)
  for (let i = 0; i < x.length; i++) {
    const quotient = Math.fround(Math.fround(x[i] - low) / step)
    const floor = Math.floor(quotient)
    const rest = quotient - floor
    codes[i] = Math.min(levels, rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor)
  }
  return { low, step, codes }
}
