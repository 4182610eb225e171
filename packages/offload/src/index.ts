export { disk } from './disk.ts'
export { lmdbTier, type LmdbTierOptions } from './lmdb-tier.ts'
export { memoryTier } from './memory-tier.ts'
export type { SyncTier } from './sync-tier.ts'
