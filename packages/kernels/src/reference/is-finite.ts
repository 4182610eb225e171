import type { Heap } from '../heap.ts'

/** True if no number is NaN or infinite. */
export function isFinite(heap: Heap, address: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (!Number.isFinite(heap.f32[(address >>> 2) + i])) return false
  return true
}
