import { engine } from '@tensorflow/tfjs-core'
import { createKernels, type Kernels } from '@kvfold/kernels'

/** What a model's loops run on. */
export interface ModelKernels {
  /** Read the active backend's tensors where they lie. */
  tensors: Kernels
  /** Hold packed weights and multiply with them, in another heap if they like. */
  products: Kernels
}

const known = new WeakMap<object, Kernels>()

/** Kernels that read the active backend's tensors where they lie, the same for all models; undefined where there are none. */
export function modelKernels(): Kernels | undefined {
  if (engine().backendName !== 'wasm') return undefined
  const { backend } = engine()
  let kernels = known.get(backend)
  if (!kernels) known.set(backend, (kernels = createKernels()))
  return kernels.name === 'reference' ? undefined : kernels
}
