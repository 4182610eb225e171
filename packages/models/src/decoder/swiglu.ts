import { mul, sigmoid, type Tensor2D } from '@tensorflow/tfjs-core'
import type { Kernels } from '@kvfold/kernels'
import { addressOf } from './in-place.ts'

/** silu(gate) * up; with kernels, in the place of `gate`, which nobody else may hold. */
export function swiglu(kernels: Kernels | undefined, gate: Tensor2D, up: Tensor2D): Tensor2D {
  if (!kernels) return mul(mul(gate, sigmoid(gate)), up)
  kernels.swiglu(addressOf(kernels, gate), addressOf(kernels, up), gate.size)
  return gate
}
