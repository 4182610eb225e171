/**
 * A factor F [n][n] with F F^T = a, of a symmetric matrix that is positive but for rounding: Cholesky with the largest pivot first. Columns come in the
 * order of pivots; where what is left is rounding, the rest is zero. A small pivot before larger ones would make its own rounding error theirs.
 */
export function cholesky(a: Float64Array, n: number): Float64Array {
  const left = a.slice()
  const factor = new Float64Array(n * n)
  let least = 0
  for (let column = 0; column < n; column++) {
    let best = 0
    for (let i = 1; i < n; i++) if (left[i * n + i] > left[best * n + best]) best = i
    const pivot = left[best * n + best]
    if (column === 0) least = 1e-13 * n * pivot
    if (!(pivot > least)) break
    const root = Math.sqrt(pivot)
    for (let i = 0; i < n; i++) factor[i * n + column] = left[i * n + best] / root
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) left[i * n + j] -= factor[i * n + column] * factor[j * n + column]
  }
  return factor
}
