import type { ModelParts, Projections } from '@kvfold/kv-core'
import { UnsupportedPolicyError } from '@kvfold/kv-core'
import { rightInverse, thinSvd, type ThinSvd } from './thin-svd.ts'

/** A product by which keys, values or both of all heads, numbers side by side, become what is packed, and back. */
export interface Block {
  /** Numbers of a token, of both sides. */
  numbers: number
  packed: number
  /** [numbers][packed] */
  toPacked: Float32Array
  /** [packed][numbers] */
  fromPacked: Float32Array
}

/** A layer's matrices. */
export interface LayerMatrices {
  inputs: number
  /** Keys, then values; or both as one. */
  blocks: readonly Block[]
  /** Minus [inputs][packed], and [packed][inputs]: only where keys and values are packed together. */
  minusInput?: Float32Array
  toInput?: Float32Array
  /** [inputs][2 outputs] */
  weights: Float32Array
  /** [2 outputs] */
  biases: Float32Array | undefined
}

/** Throws UnsupportedPolicyError if the model does not show how it makes keys and values. */
function projectionsOf(method: string, model: ModelParts, layer: number): Projections {
  if (!model.projections)
    throw new UnsupportedPolicyError(`${method} must know the weights that make keys and values: give the cache its \`model\`.`)
  const found = model.projections(layer)
  if (!found)
    throw new UnsupportedPolicyError(
      `${method} needs keys that are a linear map of the layer's input, and this model changes them after that.`,
    )
  return found
}

const widths: WeakMap<ModelParts, number> = new WeakMap()

/** Numbers of a layer's input. Throws UnsupportedPolicyError. */
export function inputsOf(method: string, model: ModelParts, outputs: number): number {
  const known = widths.get(model) ?? projectionsOf(method, model, 0).keys.length / outputs
  widths.set(model, known)
  return known
}

/** True if the input itself is packed: it has fewer numbers than keys and values, or as many, and is known as a whole. */
export function packsInput(inputs: number, outputs: number, together: boolean): boolean {
  return inputs < 2 * outputs || (together && inputs === 2 * outputs)
}

const made: WeakMap<ModelParts, Map<string, LayerMatrices>> = new WeakMap()

/**
 * A layer's matrices, made once per model. `together`: keys and values have one decomposition, else one each. Where a layer's input has fewer
 * numbers than its keys and values, the input itself is packed.
 */
export function matricesOf(method: string, model: ModelParts, layer: number, outputs: number, together: boolean): LayerMatrices {
  const known = made.get(model) ?? new Map<string, LayerMatrices>()
  made.set(model, known)
  const name = `${layer}${together ? ' together' : ''}`
  let matrices = known.get(name)
  if (!matrices) {
    matrices = makeMatrices(projectionsOf(method, model, layer), outputs, together)
    known.set(name, matrices)
  }
  return matrices
}

function makeMatrices({ keys, values, keyBias, valueBias }: Projections, outputs: number, together: boolean): LayerMatrices {
  const inputs = keys.length / outputs
  const both = 2 * outputs
  const weights = beside(keys, values, inputs, outputs)
  const biases = keyBias || valueBias ? new Float32Array(both) : undefined
  if (keyBias) biases!.set(keyBias)
  if (valueBias) biases!.set(valueBias, outputs)
  const common = { inputs, weights, biases }
  if (packsInput(inputs, outputs, together)) {
    const block = { numbers: both, packed: inputs, toPacked: rightInverse(weights, inputs, both), fromPacked: weights }
    const same = identity(inputs)
    return { ...common, blocks: [block], minusInput: negated(same), toInput: same }
  }
  if (!together) return { ...common, blocks: [keys, values].map((w) => blockOf(thinSvd(w, inputs, outputs), outputs)) }
  const svd = thinSvd(weights, inputs, both)
  return { ...common, blocks: [blockOf(svd, both)], minusInput: negated(svd.left), toInput: transposed(svd.left, inputs, both) }
}

function blockOf({ toLeft, right }: ThinSvd, numbers: number): Block {
  return { numbers, packed: numbers, toPacked: toLeft, fromPacked: right }
}

function negated(matrix: Float32Array): Float32Array {
  return matrix.map((x) => -x)
}

function identity(width: number): Float32Array {
  return Float32Array.from({ length: width * width }, (_, i) => (i % (width + 1) === 0 ? 1 : 0))
}

/** [rows][width] and [rows][width] as [rows][2 width]. */
function beside(a: Float32Array, b: Float32Array, rows: number, width: number): Float32Array {
  const out = new Float32Array(2 * rows * width)
  for (let row = 0; row < rows; row++) {
    out.set(a.subarray(row * width, (row + 1) * width), 2 * row * width)
    out.set(b.subarray(row * width, (row + 1) * width), (2 * row + 1) * width)
  }
  return out
}

function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from(matrix, (_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)])
}
