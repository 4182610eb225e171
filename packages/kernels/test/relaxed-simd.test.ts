import { createKernels, ownHeap, wasmKernels } from '@kvfold/kernels'
import { expect, it } from 'vitest'
import { bestBuild, buildFor, product } from '../src/wasm/relaxed-simd.ts'

it('an engine gets the build that it runs fastest', () => {
  const engines: [product: number | undefined, build: string][] = [
    [4 * 127 * 255, 'relaxed'], // x86, vpdpbusd
    [4 * 127 * -1, 'relaxed'], // ARM
    [2 * 32_767, 'fused'], // x86, saturated sums of two
    [4 * 32_767, 'plain'], // the same, doubled: Node 20, behind a flag
    [undefined, 'plain'],
  ]
  for (const [answer, build] of engines) expect(buildFor(answer)).toBe(build)
})

it('kernels say which build they are', () => {
  expect(bestBuild()).toBe(buildFor(product(127, 255)))
  const name = { plain: 'wasm', fused: 'wasm, fused multiply-add', relaxed: 'wasm, relaxed SIMD' }[bestBuild()]
  expect([createKernels().name, wasmKernels(ownHeap()).name]).toEqual([name, name])
})
