/**
 * Lower triangle L [n][n] with L L^T = a, of a symmetric matrix that is positive but for rounding: where a pivot is not above rounding, its
 * column is zero.
 */
export function cholesky(a: Float64Array, n: number): Float64Array {
  const lower = new Float64Array(n * n)
  let scale = 0
  for (let i = 0; i < n; i++) scale = Math.max(scale, Math.abs(a[i * n + i]))
  for (let j = 0; j < n; j++) {
    let pivot = a[j * n + j]
    for (let k = 0; k < j; k++) pivot -= lower[j * n + k] ** 2
    if (!(pivot > 1e-9 * scale)) continue
    const root = Math.sqrt(pivot)
    lower[j * n + j] = root
    for (let i = j + 1; i < n; i++) {
      let sum = a[i * n + j]
      for (let k = 0; k < j; k++) sum -= lower[i * n + k] * lower[j * n + k]
      lower[i * n + j] = sum / root
    }
  }
  return lower
}
