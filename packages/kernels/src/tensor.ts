/**
 * A tensor of whatever library the model uses: float32, row-major.
 *
 * The active kernels read the data: the wasm kernels take a tfjs tensor of the wasm backend without a copy; every kernel
 * set takes `{ shape, dtype: 'float32', data }` with a plain Float32Array, and any tensor that has `dataSync()`.
 */
export interface Tensor {
  readonly shape: readonly number[]
  readonly dtype: string
}

/** A tensor over a plain array, for callers without a tensor library. */
export interface ArrayTensor extends Tensor {
  readonly data: Float32Array
}
