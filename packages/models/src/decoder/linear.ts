import { add, fused, matMul, type Tensor1D, type Tensor2D } from '@tensorflow/tfjs-core'
import { type Kernels, type PackedWeights, readWeights } from '@kvfold/kernels'
import { reading, written } from './in-place.ts'

/**
 * A matrix product with stored weights.
 *
 * Query, key and value stay three products, gate and up two: cutting a fused result apart copies it, which costs more
 * (2,048 tokens of width 384: 28 ms fused, 22 ms apart) than the saved call, about 10 microseconds.
 */
export interface Linear {
  inputs: number
  outputs: number
  /** Packed as the file has them, or float32 [in, out]: the wasm backend's fast product takes no transposed operand. */
  weight: PackedWeights | Tensor2D
  bias?: Tensor1D
  /** Those that multiply, if there are any; packed weights lie in their heap. */
  kernels: Kernels | undefined
}

/** From so many rows on, the kernels' product of float32 is faster than the backend's, if its columns fill vectors. */
const MANY = 16

/** x [n, in] -> [n, out], plus `onto` [n, out] if there is one. Inside a tidy. */
export function apply(linear: Linear, x: Tensor2D, onto?: Tensor2D): Tensor2D {
  const { weight, kernels } = linear
  if (kernels && (isPacked(weight) || (x.shape[0] >= MANY && linear.outputs % 4 === 0))) return multiply(kernels, linear, x, onto)
  const product: Tensor2D = linear.bias
    ? (fused.matMul({ a: x, b: weight as Tensor2D, bias: linear.bias }) as Tensor2D)
    : matMul(x, weight as Tensor2D)
  return onto ? add(onto, product) : product
}

function multiply(kernels: Kernels, { inputs, outputs, weight, bias }: Linear, x: Tensor2D, onto?: Tensor2D): Tensor2D {
  const rows = x.shape[0]
  return written(kernels, x, rows, outputs, (address) => {
    fillWith(kernels, address, rows, outputs, onto, bias)
    reading(kernels, x, (from) => {
      if (isPacked(weight)) return kernels.linear(from, rows, weight, address)
      const into = { address, stride: outputs }
      reading(kernels, weight, (at) => kernels.matmul(from, { address: at, stride: outputs }, into, rows, inputs, outputs))
    })
  })
}

/** What products are added to: `onto`, the bias, both or zeros. */
function fillWith(kernels: Kernels, address: number, rows: number, width: number, onto?: Tensor2D, bias?: Tensor1D): void {
  const numbers = (at: number, count: number): Float32Array => kernels.heap.f32.subarray(at >>> 2, (at >>> 2) + count)
  // Made where it is used: a borrowed copy may grow the memory, which ends older views.
  const into = (): Float32Array => numbers(address, rows * width)
  if (onto) reading(kernels, onto, (at) => into().set(numbers(at, rows * width)))
  else into().fill(0)
  if (!bias) return
  reading(kernels, bias, (at) => {
    const values = numbers(at, width),
      sums = into()
    for (let row = 0; row < sums.length; row += width) for (let i = 0; i < width; i++) sums[row + i] += values[i]
  })
}

export function isPacked(weight: Linear['weight']): weight is PackedWeights {
  return 'kind' in weight
}

/** The weights as numbers [in][out]. */
export function weightsOf({ weight, kernels }: Linear): Float32Array {
  return isPacked(weight) ? readWeights(kernels!.heap, weight) : (weight.dataSync() as Float32Array)
}

export function disposeLinear({ weight, bias, kernels }: Linear): void {
  if (isPacked(weight)) {
    kernels!.heap.free(weight.address)
    if (weight.gain) kernels!.heap.free(weight.gain)
  } else weight.dispose()
  bias?.dispose()
}
