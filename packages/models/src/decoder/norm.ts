import { fill, fused, mul, rsqrt, type Tensor, type Tensor1D, type Tensor2D, tensor1d } from '@tensorflow/tfjs-core'

/** Constants of an RMS norm over the last axis of `width` values. */
export interface Norm {
  width: number
  /** [width, 1], each 1/width: a product with it is the mean. */
  averager: Tensor2D
  epsilon: Tensor1D
}

export function createNorm(width: number, epsilon: number): Norm {
  return { width, averager: fill([width, 1], 1 / width) as Tensor2D, epsilon: tensor1d([epsilon]) }
}

/** x [rows, width] / rms(x), without the gain (which sits in the weights that follow). Four operations. */
export function normalize(norm: Norm, x: Tensor2D): Tensor2D {
  const meanSquare = fused.matMul({ a: mul(x, x), b: norm.averager, bias: norm.epsilon })
  return mul(x, rsqrt(meanSquare))
}

/** The tensors of a norm, for disposal. */
export function normTensors(norm: Norm): Tensor[] {
  return [norm.averager, norm.epsilon]
}
