import type { Heap } from '../heap.ts'
import type { Matrix } from '../kernels.ts'

/** into [rows][columns] += a [rows][inner] b [inner][columns]. */
export function matmul({ f32 }: Heap, a: number, b: Matrix, into: Matrix, rows: number, inner: number, columns: number): void {
  for (let row = 0; row < rows; row++) {
    const from = (a >>> 2) + row * inner,
      to = (into.address >>> 2) + row * into.stride
    for (let column = 0; column < columns; column++) {
      let sum = f32[to + column]
      for (let i = 0, at = (b.address >>> 2) + column; i < inner; i++, at += b.stride) sum += f32[from + i] * f32[at]
      f32[to + column] = sum
    }
  }
}
