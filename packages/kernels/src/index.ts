export { createKernels } from './create-kernels.ts'
export { KernelArgumentError, KernelThreadError, KernelUnavailableError, OutOfMemoryError, UnsupportedTensorError } from './errors.ts'
export { fromHalf, fromHalves, MAX_HALF, toHalf, toHalfSaturated, toHalves } from './half.ts'
export type { Heap, WasmHeap } from './heap.ts'
export { ownHeap, sharedHeap } from './heap/own-heap.ts'
export type { WasmMemory } from './heap/webassembly.ts'
export { type TfjsHeap, tfjsHeap } from './heap/tfjs-heap.ts'
export {
  type Blocks,
  type Borrowed,
  type Kernels,
  type Layout,
  layoutBytes,
  layoutCode,
  layoutOf,
  type LogitsTarget,
  type Matrix,
  type Output,
  PAGE_ENTRY,
  type Queries,
  type Rows,
  type SoftmaxState,
  softmaxStateBytes,
} from './kernels.ts'
export { lowRankQueries } from './low-rank-queries.ts'
export {
  packable,
  type PackedRow,
  type PackedWeights,
  putPackedWeights,
  readWeightRow,
  readWeights,
  weightsBytes,
  type WeightsShape,
} from './packed-weights.ts'
export { referenceKernels } from './reference/kernels.ts'
export { defaultThreads, type ThreadedKernels, threadedKernels } from './threads/threaded-kernels.ts'
export { wasmKernels } from './wasm/kernels.ts'
export type { ArrayTensor, Tensor } from './tensor.ts'
