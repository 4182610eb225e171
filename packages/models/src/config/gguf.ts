import { frequencies, type RopeScaling } from '@kvfold/kv-core'
import { ModelFormatError, UnsupportedModelError } from '../errors.ts'
import { fields, type Fields } from './fields.ts'
import { checkArchitecture, checkConfig, type ModelConfig } from './model-config.ts'

/** What a GGUF config needs of the tensor table. */
export interface GgufFacts {
  /** For messages. */
  file: string
  /** Rows of `token_embd.weight`. */
  vocabulary: number
  /** `output.weight` exists. */
  head: boolean
  /** Divisors of the rotary frequencies (`rope_freqs.weight`), if stored. */
  frequencyFactors?: Float32Array
}

/** Reads the metadata of a GGUF file. Throws ModelFormatError, UnsupportedModelError. */
export function configFromGguf(metadata: Record<string, unknown>, facts: GgufFacts): ModelConfig {
  // Mistral models are stored as llama.
  const architecture = checkArchitecture(metadata['general.architecture'])
  const prefix = `${architecture}.`
  const own = Object.entries(metadata).flatMap(([key, value]): [string, unknown][] =>
    key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [],
  )
  const config = fields(Object.fromEntries(own), facts.file)
  refuse(config)

  const width = config.count('embedding_length')
  const queryHeads = config.count('attention.head_count')
  const headDim = config.count('attention.key_length', width / queryHeads)
  if (config.count('attention.value_length', headDim) !== headDim)
    throw new UnsupportedModelError(`${facts.file}: keys and values of different sizes are not supported.`)
  if (config.count('rope.dimension_count', headDim) !== headDim)
    throw new UnsupportedModelError(`${facts.file}: only models that rotate whole heads are supported.`)
  const maxPositions = config.count('context_length')
  const theta = config.number('rope.freq_base', 10000)
  const scaling = facts.frequencyFactors
    ? scalingFromFactors(facts.frequencyFactors, theta, headDim)
    : scalingFromMetadata(config, maxPositions)
  const tokens = fields(metadata, facts.file)
  const bos = tokens.ids('tokenizer.ggml.bos_token_id')[0]
  return checkConfig({
    architecture,
    layers: config.count('block_count'),
    width,
    feedForward: config.count('feed_forward_length'),
    queryHeads,
    kvHeads: config.count('attention.head_count_kv', queryHeads),
    headDim,
    vocabulary: facts.vocabulary,
    maxPositions,
    normEpsilon: config.number('attention.layer_norm_rms_epsilon'),
    rope: scaling ? { theta, scaling } : { theta },
    tiedEmbeddings: !facts.head,
    queryKeyNorm: architecture === 'qwen3',
    ...(bos !== undefined && { bos }),
    eos: [...new Set([...tokens.ids('tokenizer.ggml.eos_token_id'), ...tokens.ids('tokenizer.ggml.eot_token_id')])],
  })
}

function refuse(config: Fields): void {
  for (const name of ['attention.head_count', 'attention.head_count_kv', 'feed_forward_length'])
    if (Array.isArray(config.get(name)))
      throw new UnsupportedModelError(`'${name}' differs between layers: only models with equal layers are supported.`)
  if (config.get('expert_count')) throw new UnsupportedModelError('Mixture-of-experts models are not supported: use a dense one.')
  const window = config.get('attention.sliding_window')
  if (typeof window === 'number' && window > 0 && window < Number(config.get('context_length')))
    throw new UnsupportedModelError(`sliding_window is ${window}: windowed attention is not part of the model here, use one without it.`)
}

function scalingFromMetadata(config: Fields, maxPositions: number): RopeScaling | undefined {
  const type = config.get('rope.scaling.type') ?? (config.has('rope.scale_linear') ? 'linear' : 'none')
  const factor = config.number('rope.scaling.factor', config.number('rope.scale_linear', 1))
  if (type === 'none' || (type === 'linear' && factor === 1)) return undefined
  if (type === 'linear') return { type, factor }
  if (type !== 'yarn') throw new UnsupportedModelError(`Rope scaling '${String(type)}' is not supported: use linear or yarn.`)
  const first = (...names: string[]): number | undefined => {
    const name = names.find((each) => config.has(each))
    return name === undefined ? undefined : config.number(name)
  }
  const betaFast = first('rope.scaling.yarn_beta_fast'),
    betaSlow = first('rope.scaling.yarn_beta_slow')
  const attention = first('rope.scaling.yarn_attn_factor', 'rope.scaling.attn_factor')
  return {
    type: 'yarn',
    factor,
    originalMaxPositions: config.count('rope.scaling.original_context_length', maxPositions),
    ...(betaFast !== undefined && { betaFast }),
    ...(betaSlow !== undefined && { betaSlow }),
    // The stored number multiplies the usual one.
    ...(attention !== undefined && { attentionFactor: attention * (0.1 * Math.log(factor) + 1) }),
  }
}

/**
 * Llama 3's scaling is stored only as its outcome, one divisor per channel pair. The rule is known but for `factor` (the largest divisor)
 * and the trained length; a candidate that gives all divisors back is the one.
 */
function scalingFromFactors(factors: Float32Array, theta: number, headDim: number): RopeScaling | undefined {
  if (factors.length !== headDim / 2)
    throw new ModelFormatError(`rope_freqs.weight has ${factors.length} numbers, expected ${headDim / 2}: fetch the file again.`)
  const factor = Math.max(...factors)
  if (factors.every((f) => f === 1)) return undefined
  const plain = frequencies({ theta }, headDim, 1).perPair
  for (const originalMaxPositions of [8192, 4096, 2048, 16384, 32768]) {
    const scaling: RopeScaling = { type: 'llama3', factor, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions }
    const { perPair } = frequencies({ theta, scaling }, headDim, 1)
    if (factors.every((f, i) => Math.abs(plain[i] / perPair[i] / f - 1) < 1e-4)) return scaling
  }
  throw new UnsupportedModelError('rope_freqs.weight follows no known rule (Llama 3 with factors 1 and 4): use the safetensors files.')
}
