import { Tensor as TfTensor, tensor } from '@tensorflow/tfjs-core'
import type { ArrayTensor, Tensor } from '@kvfold/kernels'

/** Takes what a cache returns: a tfjs tensor as it is, a plain array by copying it into one. */
export function asTensor(value: Tensor): TfTensor {
  if (value instanceof TfTensor) return value
  return tensor((value as ArrayTensor).data, [...value.shape], 'float32')
}
