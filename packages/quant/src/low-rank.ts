/**
 * x [rows][columns] as left [rows][rank] times right [columns][rank] transposed, by power iteration from a start for `right`: near the best
 * of its rank after few loops. The result is the projection of x on what the columns of `left` span, which are orthonormal.
 */
export function lowRank(
  x: ArrayLike<number>,
  columns: number,
  rank: number,
  loops: number,
  start: ArrayLike<number>,
): { left: Float64Array; right: Float64Array } {
  const rows = x.length / columns
  const left = new Float64Array(rows * rank)
  const right = Float64Array.from(start)
  for (let loop = 1; loop <= loops; loop++) {
    if (loop === loops) orthonormalize(right, rank)
    left.fill(0)
    for (let i = 0; i < rows; i++)
      for (let c = 0; c < columns; c++) {
        const value = x[i * columns + c]
        for (let r = 0; r < rank; r++) left[i * rank + r] += value * right[c * rank + r]
      }
    if (loop === loops) orthonormalize(left, rank)
    right.fill(0)
    for (let i = 0; i < rows; i++)
      for (let c = 0; c < columns; c++) {
        const value = x[i * columns + c]
        for (let r = 0; r < rank; r++) right[c * rank + r] += value * left[i * rank + r]
      }
  }
  return { left, right }
}

/** Gram-Schmidt over the columns of [rows][rank], twice against rounding; a column that the others span becomes zero. */
function orthonormalize(matrix: Float64Array, rank: number): void {
  const rows = matrix.length / rank
  const dot = (a: number, b: number): number => {
    let sum = 0
    for (let i = 0; i < rows; i++) sum += matrix[i * rank + a] * matrix[i * rank + b]
    return sum
  }
  for (let r = 0; r < rank; r++) {
    const before = dot(r, r)
    for (let pass = 0; pass < 2; pass++) {
      for (let other = 0; other < r; other++) {
        const share = dot(r, other)
        for (let i = 0; i < rows; i++) matrix[i * rank + r] -= share * matrix[i * rank + other]
      }
    }
    const after = dot(r, r)
    const factor = after > before * 1e-20 ? 1 / Math.sqrt(after) : 0
    for (let i = 0; i < rows; i++) matrix[i * rank + r] *= factor
  }
}
