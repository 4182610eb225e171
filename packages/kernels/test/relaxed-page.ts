import { ownHeap, referenceKernels, softmaxStateBytes, type Kernels, type Layout } from '@kvfold/kernels'
import { kernelsOfBuild } from '../src/wasm/kernels.ts'
import { bestBuild, product, type Build } from '../src/wasm/relaxed-simd.ts'
import { type Cut, get, meanError, type Setting, uncoded, write } from './random-rows.ts'

/** How this engine multiplies bytes, and which build it gets. */
export function choice(): { product: number | undefined; best: Build } {
  return { product: product(127, 255), best: bestBuild() }
}

/** The mean error of a decode step over packed rows: of one build, and of the codes themselves. */
export function errors(build: Build, bits: 2 | 4): { rounding: number; codes: number } {
  const heap = ownHeap()
  const reference = referenceKernels(heap)
  const cut = (axis: 'channel' | 'token', seed: number): Cut => {
    const layout: Layout = { kind: 'affine', bits, axis, group: axis === 'channel' ? 64 : 32 }
    return { seed, pages: [64, 64, 3].map((rows) => ({ rows, spare: 64 - rows, layout })) }
  }
  const setting: Setting = {
    headDim: 64,
    keyDim: 64,
    group: 4,
    count: 1,
    rows: 131,
    keys: cut('channel', 5),
    values: cut('token', 6),
    bias: false,
    logitScale: 1,
    logWeight: 0,
    seed: 7,
  }
  const outputs = (kernels: Kernels, own: Setting): Float32Array => {
    const { queries, rows } = write(reference, own)
    const state = heap.malloc(softmaxStateBytes(queries))
    const count = queries.group * queries.headDim
    const out = heap.malloc(count * 4)
    kernels.begin(state, queries)
    kernels.attend(state, queries, rows)
    kernels.finish(state, queries, out)
    return get(heap, out, count)
  }
  const expected = outputs(reference, setting)
  return {
    rounding: meanError(outputs(kernelsOfBuild(build, heap), setting), expected),
    codes: meanError(outputs(reference, uncoded(setting)), expected),
  }
}
