import type { Moment } from './axes.ts'

/**
 * Rows that leave go into rows that stay, as a linear combination in coordinate form:
 * new row j = sum over entries with into = j of weight * row `from`. An entry with from = into is the kept row's own share;
 * a kept row without entries is untouched. Keys and values share the weights unless `valueWeights` is given.
 */
export interface FoldPlan {
  from: Uint32Array
  into: Uint32Array
  weights: Float32Array
  valueWeights?: Float32Array
}

/** What a policy decided for one head: plain data. */
export interface HeadPlan {
  /** Ascending row indices. */
  keep: Uint32Array
  fold?: FoldPlan
  /** The storage class of each kept row. */
  storage?: Uint8Array
}

/** What a policy decided for one layer at one moment. */
export interface LayerPlan {
  layer: number
  when: Moment
  heads: HeadPlan[]
}
