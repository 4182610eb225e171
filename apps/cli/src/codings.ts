import type { PageCoding } from '@kvfold/kv-core'
import { cachegenCoding } from '@kvfold/quant'

/** Every coding of cache files that the command knows. */
export const codings: readonly PageCoding[] = [cachegenCoding]
