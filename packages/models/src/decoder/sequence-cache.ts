import type { LayerCache } from '@kvfold/kv-core'

/** What the decoder needs of a cache: kv-core's KvCache, or anything that attends. */
export interface SequenceCache {
  /** Positions seen so far, evicted ones included. */
  readonly length: number
  layer(index: number): LayerCache
}
