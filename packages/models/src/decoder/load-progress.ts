import type { Kernels } from '@kvfold/kernels'

export interface LoadProgress {
  /** Looked at after each part of the model. */
  signal?: AbortSignal
  /** Called after each part (a layer, an end of the model) is in memory. */
  onProgress?: (progress: { done: number; total: number }) => void
  /**
   * Hold the weights that stay packed, and multiply with them: `threadedKernels()`, say, which must outlive the model. Looked at on the wasm
   * backend only. Default: those of `modelKernels()`.
   */
  kernels?: Kernels
}
