import { type Tensor2D, matMul, tensor2d, tensor1d, type Tensor1D, fused } from '@tensorflow/tfjs-core'
import { ModelFormatError } from '../errors.ts'
import type { StoredTensor, Weights } from '../weights/weights.ts'

/**
 * A matrix product with stored weights, kept as [in, out]: the wasm backend's fast product takes no transposed operand.
 *
 * Query, key and value stay three products, gate and up two: cutting a fused result apart copies it, which costs more
 * (2,048 tokens of width 384: 28 ms fused, 22 ms apart) than the saved call, about 10 microseconds.
 */
export interface Linear {
  weight: Tensor2D
  bias?: Tensor1D
}

/** x [n, in] -> [n, out]. */
export function apply(linear: Linear, x: Tensor2D): Tensor2D {
  return linear.bias ? (fused.matMul({ a: x, b: linear.weight, bias: linear.bias }) as Tensor2D) : matMul(x, linear.weight)
}

/**
 * Loads `${name}.weight` ([out, in]) and, if there is one, `${name}.bias`. `scale` [in] multiplies the inputs: the gain of the
 * RMS norm before the product goes into the weights, which saves a pass over the activations.
 */
export async function loadLinear(weights: Weights, name: string, inputs: number, outputs: number, scale?: Float32Array): Promise<Linear> {
  const rows = await need(weights, `${name}.weight`, [outputs, inputs]).load()
  const transposed = new Float32Array(inputs * outputs)
  const strip = new Float32Array(STRIP * inputs)
  for (let first = 0; first < outputs; first += STRIP) {
    const count = Math.min(STRIP, outputs - first)
    for (let r = 0; r < count; r++) rows.read(first + r, strip, r * inputs)
    for (let i = 0; i < inputs; i++) {
      const gain = scale ? scale[i] : 1
      for (let r = 0; r < count; r++) transposed[i * outputs + first + r] = strip[r * inputs + i] * gain
    }
  }
  const bias = weights.find(`${name}.bias`) && (await loadVector(weights, `${name}.bias`, outputs))
  return { weight: tensor2d(transposed, [inputs, outputs]), ...(bias && { bias: tensor1d(bias) }) }
}

// Rows transposed together: sixteen floats fill a cache line of the result.
const STRIP = 16

/** A vector of `length` float32. */
export async function loadVector(weights: Weights, name: string, length: number): Promise<Float32Array> {
  const rows = await need(weights, name, [length]).load()
  const values = new Float32Array(length)
  rows.read(0, values, 0)
  return values
}

/** The stored tensor, if it is there in this shape. Throws ModelFormatError. */
export function need(weights: Weights, name: string, shape: readonly number[]): StoredTensor {
  const found = weights.find(name)
  if (!found) throw new ModelFormatError(`${weights.name} has no weight '${name}': the files do not match the config, fetch them again.`)
  if (found.shape.length !== shape.length || found.shape.some((n, i) => n !== shape[i]))
    throw new ModelFormatError(
      `${weights.name}: weight '${name}' has shape [${found.shape.join(', ')}], the config needs [${shape.join(', ')}]: fetch the files again.`,
    )
  return found
}
