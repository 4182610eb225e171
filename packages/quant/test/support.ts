import type { Kernels } from '@kvfold/kernels'
import type { Codec } from '@kvfold/kv-core'
import { expect } from 'vitest'
import { PagePool } from '../../kv-core/src/page.ts'
import { PageList } from '../../kv-core/src/page-list.ts'

/** What comes back of rows that a cache packs: all at once, or `step` by `step`. */
export function packed(
  kernels: Kernels,
  codec: Codec,
  rows: Float32Array,
  headDim: number,
  step: number = rows.length / headDim,
): Float32Array {
  const list = new PageList(kernels, new PagePool(kernels.heap), headDim)
  list.append(rows.length / headDim, (first, count, address) =>
    kernels.heap.f32.set(rows.subarray(first * headDim, (first + count) * headDim), address / 4),
  )
  while (list.packed < list.rows) list.pack(Math.min(step, list.rows - list.packed), codec)
  const out = list.read()
  list.dispose()
  return out
}

/** |a - b| <= rtol |b| + atol, everywhere. */
export function expectClose(a: ArrayLike<number>, b: ArrayLike<number>, rtol: number, atol = 0): void {
  expect(a.length).toBe(b.length)
  for (let i = 0; i < a.length; i++) {
    if (!(Math.abs(a[i] - b[i]) <= rtol * Math.abs(b[i]) + atol)) expect({ i, value: a[i] }).toEqual({ i, value: b[i] })
  }
}
