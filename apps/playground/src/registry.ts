import * as eviction from '@kvfold/eviction'
import { Registry } from '@kvfold/kv-core'
import * as merge from '@kvfold/merge'
import * as offload from '@kvfold/offload'
import * as quant from '@kvfold/quant'
import * as sparsePrefill from '@kvfold/sparse-prefill'

/** Every method that the page knows: whatever these packages export. */
export const registry: Registry = new Registry({
  '@kvfold/eviction': eviction,
  '@kvfold/merge': merge,
  '@kvfold/offload': offload,
  '@kvfold/quant': quant,
  '@kvfold/sparse-prefill': sparsePrefill,
})
