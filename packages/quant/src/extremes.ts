/**
 * `each` of the numbers x at some places: the smallest and the largest, half of each, both in rising order. If there are too few, so many that one is
 * left, and some more than once. `others`: the places that are none of them.
 */
export function extremes(x: Float32Array, places: number[], each: number): { out: number[]; others: number[] } {
  const side = Math.min(each / 2, Math.floor((places.length - 1) / 2))
  const small: number[] = [],
    large: number[] = []
  let others = places
  for (let i = 0; i < side; i++) {
    let low = others[0],
      high = others[0]
    for (const place of others) {
      if (x[place] < x[low]) low = place
      if (x[place] >= x[high]) high = place
    }
    small.push(low)
    large.unshift(high)
    others = others.filter((place) => place !== low && place !== high)
  }
  const out = [...small, ...large]
  while (out.length < each) out.push(out[0] ?? places[0])
  // Without a pair to take, the first place stands for all of them.
  return { out, others: side < 1 && each > 0 ? places.slice(1) : others }
}
