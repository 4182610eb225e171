import type { KvCache } from '@kvfold/kv-core'
import type { Held } from '../engine/engine.ts'

/** What a cache holds now. */
export function heldIn(cache: KvCache): Held {
  const { bytes, payload, scales, columns, indices, rows } = cache.ledger()
  return { bytes, payload, scales, columns, indices, rows }
}
