/**
 * `each` of the numbers x at some places: the smallest and the largest, half of each, both in rising order. If there are too few, so many that one is
 * left, and some more than once.
 */
export function extremes(x: Float32Array, places: number[], each: number): number[] {
  const side = Math.min(each / 2, Math.floor((places.length - 1) / 2))
  const small: number[] = [],
    large: number[] = []
  let left = places
  for (let i = 0; i < side; i++) {
    let low = left[0],
      high = left[0]
    for (const place of left) {
      if (x[place] < x[low]) low = place
      if (x[place] >= x[high]) high = place
    }
    small.push(low)
    large.unshift(high)
    left = left.filter((place) => place !== low && place !== high)
  }
  const out = [...small, ...large]
  while (out.length < each) out.push(out[0] ?? places[0])
  return out
}
