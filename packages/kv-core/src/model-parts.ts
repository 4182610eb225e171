/**
 * The linear maps that make a layer's keys (not yet rotated) and values of its input: keys = input * keyWeights + keyBias. Weights
 * [inputs][kvHeads * headDim], biases [kvHeads * headDim]; no bias: undefined.
 */
export interface Projections {
  keys: Float32Array
  values: Float32Array
  keyBias?: Float32Array
  valueBias?: Float32Array
}

/** What some policies must know of a model besides its shape. A model offers what it has; `LlamaModel` is one. */
export interface ModelParts {
  /** Undefined if a layer's keys are no linear map of its input. */
  projections?(layer: number): Projections | undefined
}
