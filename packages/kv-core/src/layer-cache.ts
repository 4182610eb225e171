import type { Tensor } from '@kvfold/kernels'

/** One layer's step: float32, queries and keys not yet rotated (unless the cache's rope is `external`). */
export interface AttendInput {
  /** [queryHeads, n, headDim] */
  q: Tensor
  /** [kvHeads, n, headDim] */
  k: Tensor
  /** [kvHeads, n, headDim] */
  v: Tensor
  /** More chunks of the same prompt follow for this layer: the policy waits for the last one. Default false. */
  more?: boolean
}

/** One layer of one sequence's cache. */
export interface LayerCache {
  /**
   * Appends k and v, lets q attend over everything kept (causally among the new tokens), then lets the policy plan.
   * One token (n = 1 after the first) is a decode step, more are a prompt or a part of one. Returns [queryHeads, n, headDim]
   * of the kind that `q` is. Throws ShapeError, NotFiniteError before any state changes.
   */
  attend(input: AttendInput): Promise<Tensor>
}
