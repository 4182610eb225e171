import { layoutBytes, ownHeap, referenceKernels, wasmKernels, type Kernels, type Layout } from '@kvfold/kernels'
import { describe, expect, it } from 'vitest'
import { golden } from '../../../tooling/golden.ts'
import { put } from './random-rows.ts'

const { cases, tensor } = golden(new URL('data/', import.meta.url), 'kivi')

/** One code per number, out of the planes of a page that `x` was packed into. */
function codesOf(kernels: Kernels, x: Float32Array, headDim: number, layout: Extract<Layout, { kind: 'affine' }>): Int32Array {
  const { heap } = kernels
  const rows = x.length / headDim
  const page = heap.malloc(layoutBytes(layout, headDim, rows))
  const from = put(heap, x)
  kernels.quantize(from, rows, headDim, layout, page, rows)
  const rowBytes = (headDim * layout.bits) / 8
  const codes = Int32Array.from(x, (_, i) => {
    const channel = i % headDim
    const byte = heap.u8[page + Math.floor(i / headDim) * rowBytes + (channel % rowBytes)]
    return (byte >> (Math.floor(channel / rowBytes) * layout.bits)) & ((1 << layout.bits) - 1)
  })
  heap.free(from)
  heap.free(page)
  return codes
}

describe('codes are those of the authors of KIVI', () => {
  for (const [name, make] of [
    ['reference', referenceKernels],
    ['wasm', wasmKernels],
  ] as const) {
    for (const { id, args, inputs, outputs } of cases) {
      it(`${name}: ${id}`, () => {
        const kernels = make(ownHeap())
        const perChannel = 'k' in inputs
        const bits = args['bits'] as 2 | 4 | 8
        const group = args['group_size'] as number
        const { data, shape } = tensor(perChannel ? inputs['k'] : inputs['v'])
        const headDim = shape.at(-1)!
        const x = data as Float32Array
        // A page of the channel axis is one group of tokens.
        const page = perChannel ? group * headDim : x.length
        const codes: number[] = []
        for (let at = 0; at < x.length; at += page) {
          codes.push(
            ...codesOf(kernels, x.slice(at, at + page), headDim, { kind: 'affine', bits, axis: perChannel ? 'channel' : 'token', group }),
          )
        }
        expect(codes).toEqual([...tensor(outputs['q']).data])
        expect(kernels.heap.live).toBe(0)
      })
    }
  }
})
