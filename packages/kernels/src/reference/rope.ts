import type { Heap } from '../heap.ts'

/** Rotates channel i with channel i + headDim/2 by the angle whose cosine and sine are given. */
export function rope(heap: Heap, from: number, into: number, count: number, headDim: number, cos: number, sin: number): void {
  const { f32 } = heap
  const half = headDim / 2
  for (let row = 0; row < count; row++) {
    for (let channel = 0; channel < half; channel++) {
      const c = f32[(cos >>> 2) + row * half + channel]
      const s = f32[(sin >>> 2) + row * half + channel]
      const a = f32[(from >>> 2) + row * headDim + channel]
      const b = f32[(from >>> 2) + row * headDim + half + channel]
      f32[(into >>> 2) + row * headDim + channel] = a * c - b * s
      f32[(into >>> 2) + row * headDim + half + channel] = b * c + a * s
    }
  }
}
