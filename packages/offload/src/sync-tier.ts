import type { Tier } from '@kvfold/kv-core'

/** A tier that is done when it returns; only closing may take a while. */
export interface SyncTier extends Tier {
  put(key: number, bytes: Uint8Array): void
  get(key: number, into: Uint8Array): void
  delete(key: number): void
}
