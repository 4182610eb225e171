import type { RopeScaling, RopeSpec } from '@kvfold/kv-core'
import { UnsupportedModelError } from '../errors.ts'
import { fields, type Fields } from './fields.ts'

export interface RopeFound {
  rope: Exclude<RopeSpec, 'external'>
  /** Positions that the scaling makes usable, if it says more than config.json's own limit. */
  maxPositions: number
}

/**
 * Rotary settings of a Hugging Face config: `rope_theta` with `rope_scaling` (transformers 4; `type` or `rope_type`), or
 * `rope_parameters` (transformers 5; flat, or one entry per kind of layer).
 */
export function ropeFromHuggingFace(config: Fields, maxPositions: number): RopeFound {
  const entry = ropeEntry(config)
  const theta = entry.number('rope_theta', config.number('rope_theta', 10000))
  const partial = entry.number('partial_rotary_factor', config.number('partial_rotary_factor', 1))
  if (partial !== 1)
    throw new UnsupportedModelError(`partial_rotary_factor is ${partial}: only models that rotate whole heads are supported.`)
  const type = String(entry.get('rope_type') ?? entry.get('type') ?? 'default')
  const scaling = scalingOf(type, entry, maxPositions, config)
  const rope = scaling ? { theta, scaling } : { theta }
  if (scaling?.type === 'yarn')
    return { rope, maxPositions: Math.max(maxPositions, Math.round(scaling.originalMaxPositions * scaling.factor)) }
  if (scaling?.type === 'dynamic') return { rope, maxPositions: Math.round(maxPositions * scaling.factor) }
  return { rope, maxPositions }
}

function ropeEntry(config: Fields): Fields {
  let entry = config.get('rope_parameters') ?? config.get('rope_scaling') ?? {}
  if (isObject(entry) && isObject(entry.full_attention)) entry = entry.full_attention
  return fields(isObject(entry) ? entry : {}, 'config.json (rope)')
}

function scalingOf(type: string, entry: Fields, maxPositions: number, config: Fields): RopeScaling | undefined {
  const original = (): number =>
    entry.number('original_max_position_embeddings', config.number('original_max_position_embeddings', maxPositions))
  switch (type) {
    case 'default':
      return undefined
    case 'linear':
      return { type, factor: entry.number('factor') }
    case 'dynamic':
      return { type, factor: entry.number('factor'), maxPositions: original() }
    case 'llama3':
      return {
        type,
        factor: entry.number('factor'),
        lowFreqFactor: entry.number('low_freq_factor'),
        highFreqFactor: entry.number('high_freq_factor'),
        originalMaxPositions: original(),
      }
    case 'yarn':
      return yarn(entry, original(), maxPositions)
    default:
      throw new UnsupportedModelError(`Rope scaling '${type}' is not supported: use linear, dynamic, llama3 or yarn.`)
  }
}

function yarn(entry: Fields, originalMaxPositions: number, maxPositions: number): RopeScaling {
  if (entry.get('truncate') === false)
    throw new UnsupportedModelError(`Yarn with truncate=false is not supported: use a model that leaves it on.`)
  const factor = entry.number('factor', maxPositions / originalMaxPositions)
  const scale = (mscale: number): number => (factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1)
  let attentionFactor = entry.has('attention_factor') ? entry.number('attention_factor') : undefined
  if (attentionFactor === undefined && entry.get('mscale') && entry.get('mscale_all_dim'))
    attentionFactor = scale(entry.number('mscale')) / scale(entry.number('mscale_all_dim'))
  return {
    type: 'yarn',
    factor,
    originalMaxPositions,
    ...(entry.has('beta_fast') && { betaFast: entry.number('beta_fast') }),
    ...(entry.has('beta_slow') && { betaSlow: entry.number('beta_slow') }),
    ...(attentionFactor !== undefined && { attentionFactor }),
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
