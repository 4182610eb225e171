/** The bytes of one cache, equal to the sizes of its live buffers. */
export interface Ledger {
  /** Everything kept in memory between steps: payload + scales + columns + indices. */
  bytes: number
  /** Raw rows and codes. */
  payload: number
  /** Scales and minima of packed groups. */
  scales: number
  /** Positions and methods' statistics. */
  columns: number
  /** Page tables. */
  indices: number
  /** Working memory that outlives a step (tables of rotations). */
  scratch: number
  /** Bytes of pages that are away, by tier. */
  tiers: Record<string, number>
  /** The most that the cache's pool ever held at once, working memory included. */
  peakBytes: number
  /** Rows kept, over all layers and heads. */
  rows: number
  /** Tokens seen. */
  seen: number
  /** What a full cache of the tokens seen would take. */
  fullF16Bytes: number
  fullF32Bytes: number
}
