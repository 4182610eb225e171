import type { Heap } from '../heap.ts'
import { weightAt, type PackedWeights } from '../packed-weights.ts'

/** into [rows][outputs] += x [rows][inputs] w. */
export function linear(heap: Heap, x: number, rows: number, weights: PackedWeights, into: number): void {
  const { f32 } = heap
  const { inputs, outputs } = weights
  for (let output = 0; output < outputs; output++) {
    for (let row = 0; row < rows; row++) {
      const at = (into >>> 2) + row * outputs + output
      let sum = f32[at]
      for (let i = 0; i < inputs; i++) sum += f32[(x >>> 2) + row * inputs + i] * weightAt(heap, weights, i, output)
      f32[at] = sum
    }
  }
}
