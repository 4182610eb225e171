import { tensor1d, type Tensor2D, tensor2d } from '@tensorflow/tfjs-core'
import { type Kernels, packable, type PackedWeights, putPackedWeights, weightsBytes } from '@kvfold/kernels'
import { ModelFormatError } from '../errors.ts'
import type { Rows, StoredTensor, Weights } from '../weights/weights.ts'
import type { Linear } from './linear.ts'
import type { ModelKernels } from './model-kernels.ts'

/**
 * Loads `${name}.weight` ([out, in]) and, if there is one, `${name}.bias`. `gain` [in] multiplies the inputs: that of the RMS norm before the
 * product, which saves a pass over the activations. Weights stay as their file has them where the kernels take them so.
 */
export async function loadLinear(
  weights: Weights,
  name: string,
  inputs: number,
  outputs: number,
  kernels: ModelKernels | undefined,
  gain?: Float32Array,
): Promise<Linear> {
  const rows = await need(weights, `${name}.weight`, [outputs, inputs]).load()
  const bias = weights.find(`${name}.bias`) && tensor1d(await loadVector(weights, `${name}.bias`, outputs))
  return { ...linearOf(rows, inputs, outputs, kernels, gain), ...(bias && { bias }) }
}

/** The same from rows that are loaded already, without a bias. */
export function linearOf(rows: Rows, inputs: number, outputs: number, kernels: ModelKernels | undefined, gain?: Float32Array): Linear {
  if (kernels && rows.packed && packable(inputs, outputs)) {
    const { products } = kernels
    return { inputs, outputs, weight: pack(products, rows.packed, inputs, outputs, gain), kernels: products }
  }
  // Float32 weights are the backend's tensors: they are not copied for every product.
  return { inputs, outputs, weight: transposed(rows, inputs, outputs, gain), kernels: kernels?.tensors }
}

function pack(
  { heap }: Kernels,
  { kind, row }: NonNullable<Rows['packed']>,
  inputs: number,
  outputs: number,
  gain?: Float32Array,
): PackedWeights {
  const shape = { kind, inputs, outputs }
  const weight = { ...shape, address: heap.malloc(weightsBytes(shape)), gain: gain && heap.malloc(gain.byteLength) }
  if (gain) heap.f32.set(gain, weight.gain! >>> 2)
  for (let output = 0; output < outputs; output++) putPackedWeights(heap, weight, output, row(output))
  return weight
}

/** Rows of a matrix [out, in] as float32 [in, out], inputs times their gains. */
export function transposed(rows: Rows, inputs: number, outputs: number, gain?: Float32Array): Tensor2D {
  const turned = new Float32Array(inputs * outputs)
  const strip = new Float32Array(STRIP * inputs)
  for (let first = 0; first < outputs; first += STRIP) {
    const count = Math.min(STRIP, outputs - first)
    for (let r = 0; r < count; r++) rows.read(first + r, strip, r * inputs)
    for (let i = 0; i < inputs; i++) {
      const factor = gain ? gain[i] : 1
      for (let r = 0; r < count; r++) turned[i * outputs + first + r] = strip[r * inputs + i] * factor
    }
  }
  return tensor2d(turned, [inputs, outputs])
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
