import type { LayerCache } from '@kvfold/kv-core'

/** What the decoder needs of a cache: kv-core's KvCache, or anything that attends. */
export interface SequenceCache {
  /** Positions seen so far, evicted ones included. */
  readonly length: number
  /** The next token's position. Default: `length`. */
  readonly position?: number
  /** Tokens of a prompt that waits for its second reading, and the end of it: see KvCache. Default: none ever does. */
  readonly unread?: number
  reconstruct?(chunk: number, read: (first: number, count: number) => Promise<unknown>): Promise<void>
  layer(index: number): LayerCache
}
