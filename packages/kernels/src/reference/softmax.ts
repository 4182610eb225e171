import type { Heap } from '../heap.ts'

/** Rows of logits `[count][stride]` to softmax over their first `rows`, in place. A row of -Infinity alone gets zeros. */
export function softmax(heap: Heap, address: number, count: number, stride: number, rows: number): void {
  for (let i = 0; i < count; i++) {
    const row = heap.f32.subarray((address >>> 2) + i * stride, (address >>> 2) + i * stride + rows)
    const most = row.reduce((a, b) => Math.max(a, b), -Infinity)
    if (most === -Infinity) row.fill(0)
    else {
      const weights = Float64Array.from(row, (logit) => Math.exp(logit - most))
      const sum = weights.reduce((a, b) => a + b, 0)
      weights.forEach((weight, j) => (row[j] = weight / sum))
    }
  }
}
