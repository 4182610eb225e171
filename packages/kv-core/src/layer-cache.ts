import type { Tensor } from '@kvfold/kernels'

/** One layer's step: float32, queries and keys not yet rotated (unless the cache's rope is `external`). */
export interface AttendInput {
  /** [queryHeads, m, headDim]: the queries of the last m tokens, 1 <= m <= n. Usually all; see `promptQueries`. */
  q: Tensor
  /** How many of these queries' outputs are wanted, the last ones. Default: all. The others are only looked at by the policy. */
  outputs?: number
  /** [kvHeads, n, headDim] */
  k: Tensor
  /** [kvHeads, n, headDim] */
  v: Tensor
  /** [kvHeads, n]: scores of the new rows by the model's retaining heads. Only if the layer asks: see `retaining`. */
  retaining?: Tensor
  /** More chunks of the same prompt follow for this layer: the policy waits for the last one. Default false. */
  more?: boolean
}

/** One layer of one sequence's cache. */
export interface LayerCache {
  /**
   * How many of a prompt's last queries the policy looks at. A model that wants no output of earlier tokens (in its last layer, only the
   * last token's logits count) may leave their queries out, and say how many `outputs` it wants. Infinity: the policy looks at all.
   */
  readonly promptQueries: number
  /** True if the policy needs the scores of the model's retaining heads. */
  readonly retaining?: boolean
  /**
   * Appends k and v, lets q attend over everything kept (causally among the new tokens), then lets the policy plan.
   * One token (n = 1 after the first) is a decode step, more are a prompt or a part of one. Returns [queryHeads, outputs, headDim]
   * of the kind that `q` is. Throws ShapeError, NotFiniteError, UnsupportedPolicyError before any state changes. Under a policy that drops
   * rows while a prompt is read, an error of a tier leaves the prompt half read: dispose the cache then.
   */
  attend(input: AttendInput): Promise<Tensor>
}
