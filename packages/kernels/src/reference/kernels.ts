import type { Heap } from '../heap.ts'
import { ownHeap } from '../heap/own-heap.ts'
import type { Kernels } from '../kernels.ts'
import { tensorAccess } from '../tensor-access.ts'
import { attend } from './attend.ts'
import { columnMaxima } from './column-maxima.ts'
import { columnSums } from './column-sums.ts'
import { dequantize } from './dequantize.ts'
import { gather } from './gather.ts'
import { gram } from './gram.ts'
import { isFinite } from './is-finite.ts'
import { rmsNorm, swiglu } from './elementwise.ts'
import { linear } from './linear.ts'
import { logits } from './logits.ts'
import { matmul } from './matmul.ts'
import { prefill } from './prefill.ts'
import { probabilities } from './probabilities.ts'
import { quantize } from './quantize.ts'
import { rope } from './rope.ts'
import { softmax } from './softmax.ts'
import { begin, finish } from './softmax-state.ts'

/** The definition of every kernel, in plain TypeScript: slow, and right. */
export function referenceKernels(heap: Heap = ownHeap()): Kernels {
  return {
    name: 'reference',
    packedError: 1e-5,
    heap,
    ...tensorAccess(heap),
    begin: (...args) => begin(heap, ...args),
    attend: (...args) => attend(heap, ...args),
    prefill: (...args) => prefill(heap, ...args),
    finish: (...args) => finish(heap, ...args),
    probabilities: (...args) => probabilities(heap, ...args),
    logits: (...args) => logits(heap, ...args),
    columnSums: (...args) => columnSums(heap, ...args),
    columnMaxima: (...args) => columnMaxima(heap, ...args),
    softmax: (...args) => softmax(heap, ...args),
    gram: (...args) => gram(heap, ...args),
    matmul: (...args) => matmul(heap, ...args),
    linear: (...args) => linear(heap, ...args),
    rmsNorm: (...args) => rmsNorm(heap, ...args),
    swiglu: (...args) => swiglu(heap, ...args),
    rope: (...args) => rope(heap, ...args),
    gather: (...args) => gather(heap, ...args),
    quantize: (...args) => quantize(heap, ...args),
    dequantize: (page, capacity, layout, start, rows, headDim, into) =>
      dequantize(heap, page, capacity, layout, start, rows, headDim, heap.f32.subarray(into >>> 2, (into >>> 2) + rows * headDim)),
    isFinite: (...args) => isFinite(heap, ...args),
  }
}
