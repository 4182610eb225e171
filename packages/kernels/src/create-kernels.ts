import { engine } from '@tensorflow/tfjs-core'
import { ownHeap } from './heap/own-heap.ts'
import { tfjsHeap } from './heap/tfjs-heap.ts'
import type { Kernels } from './kernels.ts'
import { referenceKernels } from './reference/kernels.ts'
import { wasmKernels } from './wasm/kernels.ts'
import { supported } from './wasm/module.ts'

/**
 * The fastest kernels that this machine has: wasm where there is SIMD, else plain TypeScript. They work in the memory of tfjs's wasm
 * backend if that is the active one (so that its tensors are read where they lie), else in one of their own.
 */
export function createKernels(): Kernels {
  if (!supported()) return referenceKernels()
  return wasmKernels(engine().backendName === 'wasm' ? tfjsHeap() : ownHeap())
}
