/** What some policies must know of a model besides its shape. A model offers what it has. */
export interface ModelParts {
  /**
   * The weights that make a layer's keys (not yet rotated) and values of its input: [inputs][kvHeads * headDim] each, without bias.
   */
  projections?(layer: number): { keys: Float32Array; values: Float32Array }
}
