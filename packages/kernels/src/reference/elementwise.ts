import type { Heap } from '../heap.ts'

/** into [rows][width] = x / sqrt(mean of squares + epsilon), row by row. */
export function rmsNorm({ f32 }: Heap, x: number, rows: number, width: number, epsilon: number, into: number): void {
  for (let row = 0; row < rows; row++) {
    const from = (x >>> 2) + row * width,
      to = (into >>> 2) + row * width
    let sum = 0
    for (let i = 0; i < width; i++) sum += f32[from + i] ** 2
    const factor = 1 / Math.sqrt(sum / width + epsilon)
    for (let i = 0; i < width; i++) f32[to + i] = f32[from + i] * factor
  }
}

/** gate = gate / (1 + e^-gate) * up, in place. */
export function swiglu({ f32 }: Heap, gate: number, up: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const x = f32[(gate >>> 2) + i]
    f32[(gate >>> 2) + i] = (x / (1 + Math.exp(-x))) * f32[(up >>> 2) + i]
  }
}
