import { fill, fused, mul, rsqrt, type Tensor, type Tensor1D, type Tensor2D, tensor1d } from '@tensorflow/tfjs-core'
import type { Kernels } from '@kvfold/kernels'
import { addressOf, written } from './in-place.ts'

/** An RMS norm over the last axis of `width` values. */
export interface Norm {
  width: number
  epsilon: number
  /** Those that work on this backend's tensors. */
  kernels: Kernels | undefined
  /** What the backend's own operations need where there are none: [width, 1], each 1/width (a product with it is the mean), and epsilon. */
  constants?: { averager: Tensor2D; epsilon: Tensor1D }
}

export function createNorm(width: number, epsilon: number, kernels: Kernels | undefined): Norm {
  if (kernels) return { width, epsilon, kernels }
  return { width, epsilon, kernels, constants: { averager: fill([width, 1], 1 / width) as Tensor2D, epsilon: tensor1d([epsilon]) } }
}

/** x [rows, width] / rms(x), without the gain (which sits in the weights that follow). */
export function normalize({ width, epsilon, kernels, constants }: Norm, x: Tensor2D): Tensor2D {
  if (!constants) {
    const rows = x.shape[0]
    return written(kernels!, x, rows, width, (address) => kernels!.rmsNorm(addressOf(kernels!, x), rows, width, epsilon, address))
  }
  const meanSquare = fused.matMul({ a: mul(x, x), b: constants.averager, bias: constants.epsilon })
  return mul(x, rsqrt(meanSquare))
}

/** The tensors of a norm, for disposal. */
export function normTensors({ constants }: Norm): Tensor[] {
  return constants ? [constants.averager, constants.epsilon] : []
}
