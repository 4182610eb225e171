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

/**
 * Numbers to which numbers in [-1, 1] are rounded, ascending: `choose` are those that the nearest is taken of, `read` what it is read back as.
 */
export interface Levels {
  choose: Float32Array
  read: Float32Array
}

/** What a layer's keys, not yet rotated, and values are like over sample texts: `kvfold calibrate` finds it out. */
export interface Calibration {
  /** [kvHeads * headDim]: 1 % of a key channel's numbers lie outside. */
  keyLow: Float32Array
  keyHigh: Float32Array
  /** By bits; numbers relative to their range, without outliers. */
  keyLevels: Readonly<Record<2 | 3 | 4, Levels>>
  valueLevels: Readonly<Record<2 | 3 | 4, Levels>>
}

/** What some policies must know of a model besides its shape. A model offers what it has; `LlamaModel` is one. */
export interface ModelParts {
  /** Undefined if a layer's keys are no linear map of its input. */
  projections?(layer: number): Projections | undefined
  /** Undefined if the model was not calibrated. */
  calibration?(layer: number): Calibration | undefined
}
