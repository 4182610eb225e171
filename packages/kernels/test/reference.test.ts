import { expect, test } from 'vitest'
import { referenceKernels, softmaxStateBytes, type Layout, layoutBytes, layoutCode } from '@kvfold/kernels'

test('attention over raw rows equals a naive softmax', () => {
  const k = referenceKernels()
  const { heap } = k
  const headDim = 16,
    rows = 70
  const at = (n: number) => {
    const a = heap.malloc(n * 4)
    for (let i = 0; i < n; i++) heap.f32[a / 4 + i] = Math.sin(i * 7.1 + a)
    return a
  }
  const K = at(rows * headDim),
    V = at(rows * headDim),
    q = at(3 * headDim),
    out = at(3 * headDim)
  const table = heap.malloc(32)
  const table2 = heap.malloc(32)
  heap.i32.set([K, 64, 0, 64, K + 64 * headDim * 4, 6, 0, 6], table / 4)
  heap.i32.set([V, 60, 0, 64, V + 60 * headDim * 4, 10, 0, 10], table2 / 4)
  const queries = { address: q, group: 3, count: 1, headDim }
  const state = heap.malloc(softmaxStateBytes(queries))
  k.begin(state, queries)
  k.attend(state, queries, { keyTable: table, keyPages: 2, valueTable: table2, valuePages: 2, rows, bias: 0, logitScale: 1, logWeight: 0 })
  k.finish(state, queries, out)
  const f = heap.f32
  for (let g = 0; g < 3; g++) {
    const p = Array.from({ length: rows }, (_, r) => {
      let d = 0
      for (let c = 0; c < headDim; c++) d += f[q / 4 + g * headDim + c] * f[K / 4 + r * headDim + c]
      return Math.exp(d / 4)
    })
    const s = p.reduce((a, b) => a + b)
    for (let c = 0; c < headDim; c++)
      expect(f[out / 4 + g * headDim + c]).toBeCloseTo(p.reduce((a, w, r) => a + w * f[V / 4 + r * headDim + c], 0) / s, 5)
  }
  for (const layout of [
    { kind: 'affine', bits: 4, axis: 'token', group: 8 },
    { kind: 'affine', bits: 2, axis: 'channel', group: 64 },
    { kind: 'affine', bits: 8, axis: 'channel', group: 64 },
  ] as Layout[]) {
    const page = heap.malloc(layoutBytes(layout, headDim, 64)),
      back = heap.malloc(64 * headDim * 4)
    k.quantize(K, 64, headDim, layout, page, 64)
    k.dequantize(page, 64, layout, 0, 64, headDim, back)
    let worst = 0
    for (let i = 0; i < 64 * headDim; i++) worst = Math.max(worst, Math.abs(heap.f32[back / 4 + i] - heap.f32[K / 4 + i]))
    expect(worst).toBeLessThan(2.3 / (2 ** (layout as any).bits - 1) / 2)
    expect(layoutCode(layout)).toBeGreaterThan(0)
  }
})
