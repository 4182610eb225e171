/** The heap cannot give as many bytes. */
export class OutOfMemoryError extends Error {
  readonly code = 'KVFOLD_OUT_OF_MEMORY'
  override readonly name = 'OutOfMemoryError'

  constructor(bytes: number, live: number) {
    super(
      `The heap cannot give ${bytes} bytes (${live} are in use). Dispose caches that are no longer needed, shorten the context, or use a policy with a smaller budget.`,
    )
  }
}

/** A tensor whose data the kernels cannot read, or that has another shape or type than was expected. */
export class UnsupportedTensorError extends Error {
  readonly code = 'KVFOLD_UNSUPPORTED_TENSOR'
  override readonly name = 'UnsupportedTensorError'

  constructor(problem: string) {
    super(`${problem} Pass a float32 tensor: { shape, dtype: 'float32', data: Float32Array }, or a live tensor of the active tfjs backend.`)
  }
}

/** An argument that no kernel can work with. */
export class KernelArgumentError extends Error {
  readonly code = 'KVFOLD_KERNEL_ARGUMENT'
  override readonly name = 'KernelArgumentError'
}

/** A heap that gives no memory to import, or a machine without what the kernels need. */
export class KernelUnavailableError extends Error {
  readonly code = 'KVFOLD_KERNEL_UNAVAILABLE'
  override readonly name = 'KernelUnavailableError'
}

/** Threads that are gone, or that stopped in the middle of a call, whose results are then undefined. */
export class KernelThreadError extends Error {
  readonly code = 'KVFOLD_KERNEL_THREAD'
  override readonly name = 'KernelThreadError'

  constructor(problem: string) {
    super(`${problem} Make new ones with threadedKernels(), and load models and caches anew on them.`)
  }
}
