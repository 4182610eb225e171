import type { Heap } from '../heap.ts'

/** Adds to `into` `[width][width]` the outer product of each of `count` vectors with itself: the upper triangle, diagonal included. */
export function gram(heap: Heap, from: number, count: number, width: number, into: number): void {
  for (let i = 0; i < width; i++) {
    for (let j = i; j < width; j++) {
      let sum = 0
      for (let at = from >>> 2, n = 0; n < count; n++, at += width) sum += heap.f32[at + i] * heap.f32[at + j]
      heap.f32[(into >>> 2) + i * width + j] += sum
    }
  }
}
