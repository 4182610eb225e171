import { EigenvalueDecomposition, inverse, Matrix } from 'ml-matrix'

/** Singular values below this share of the largest are noise of float32 weights: what they would carry is left out. */
const NOISE = 1e-6

/** w [rows][columns] = left [rows][columns] * right [columns][columns], and `toLeft` [columns][columns]: w * toLeft = left. */
export interface ThinSvd {
  left: Float32Array
  right: Float32Array
  toLeft: Float32Array
  /** Descending. */
  singular: Float64Array
}

/**
 * The thin singular value decomposition w = U S B^T of a tall matrix: `left` = U has orthonormal columns, `right` = S B^T, `toLeft` = B S^-1. From
 * the eigenvectors of w^T w, in float64.
 */
export function thinSvd(w: Float32Array, rows: number, columns: number): ThinSvd {
  const matrix = new Matrix(rows, columns)
  for (let i = 0; i < w.length; i++) matrix.set(Math.floor(i / columns), i % columns, w[i])
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(matrix.transpose().mmul(matrix), { assumeSymmetric: true })
  const order = realEigenvalues.map((_, i) => i).sort((a, b) => realEigenvalues[b] - realEigenvalues[a])
  const singular = Float64Array.from(order, (i) => Math.sqrt(Math.max(0, realEigenvalues[i])))
  const right = new Float32Array(columns * columns)
  const toLeft = new Matrix(columns, columns)
  order.forEach((from, j) => {
    for (let i = 0; i < columns; i++) {
      const x = eigenvectorMatrix.get(i, from)
      right[j * columns + i] = singular[j] * x
      toLeft.set(i, j, singular[j] > NOISE * singular[0] ? x / singular[j] : 0)
    }
  })
  return { left: floats(matrix.mmul(toLeft)), right, toLeft: floats(toLeft), singular }
}

/** The right inverse w^T (w w^T)^-1 [columns][rows] of a wide matrix [rows][columns]: w times it is the identity. */
export function rightInverse(w: Float32Array, rows: number, columns: number): Float32Array {
  const matrix = new Matrix(rows, columns)
  for (let i = 0; i < w.length; i++) matrix.set(Math.floor(i / columns), i % columns, w[i])
  const transposed = matrix.transpose()
  return floats(transposed.mmul(inverse(matrix.mmul(transposed))))
}

function floats(matrix: Matrix): Float32Array {
  return Float32Array.from(matrix.to1DArray())
}
