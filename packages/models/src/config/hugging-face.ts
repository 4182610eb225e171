import { ModelFormatError, UnsupportedModelError } from '../errors.ts'
import { fields, type Fields } from './fields.ts'
import { type Architecture, checkArchitecture, checkConfig, type ModelConfig } from './model-config.ts'
import { ropeFromHuggingFace } from './rope.ts'

/**
 * Reads a Hugging Face `config.json` (parsed). Throws ModelFormatError on missing or senseless values and
 * UnsupportedModelError on features that the decoder lacks.
 */
export function configFromHuggingFace(json: unknown): ModelConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new ModelFormatError("config.json is not an object: fetch the model's files again.")
  const config = fields(json as Record<string, unknown>, 'config.json')
  const architecture = checkArchitecture(config.get('model_type'))
  refuse(config)

  const width = config.count('hidden_size')
  const queryHeads = config.count('num_attention_heads')
  const trained = config.count('max_position_embeddings', 2048)
  checkWindow(config, architecture, 'sliding_window' in json, trained)
  const { rope, maxPositions } = ropeFromHuggingFace(config, trained)
  const bos = config.ids('bos_token_id')[0]
  return checkConfig({
    architecture,
    layers: config.count('num_hidden_layers'),
    width,
    feedForward: config.count('intermediate_size'),
    queryHeads,
    kvHeads: config.count('num_key_value_heads', queryHeads),
    headDim: config.count('head_dim', architecture === 'qwen3' ? 128 : width / queryHeads),
    vocabulary: config.count('vocab_size'),
    maxPositions,
    normEpsilon: config.number('rms_norm_eps', 1e-6),
    rope,
    tiedEmbeddings: config.get('tie_word_embeddings') === true,
    queryKeyNorm: architecture === 'qwen3',
    ...(bos !== undefined && { bos }),
    eos: config.ids('eos_token_id'),
  })
}

function refuse(config: Fields): void {
  const activation = config.get('hidden_act') ?? 'silu'
  if (activation !== 'silu' && activation !== 'swish')
    throw new UnsupportedModelError(`hidden_act is '${String(activation)}': only silu is supported.`)
  if (config.has('quantization_config'))
    throw new UnsupportedModelError(
      'The weights are stored quantised (quantization_config): use the unquantised model, or a GGUF file of it.',
    )
}

/**
 * Sliding windows are refused unless they are switched off or at least as long as the model's context. As in transformers, a Mistral config
 * that does not mention its window has one of 4096, and Qwen uses its window only if `use_sliding_window` says so.
 */
function checkWindow(config: Fields, architecture: Architecture, mentioned: boolean, maxPositions: number): void {
  const window = architecture === 'mistral' && !mentioned ? 4096 : config.get('sliding_window')
  const used = config.get('use_sliding_window')
  if (window === undefined || used === false || (architecture.startsWith('qwen') && used !== true)) return
  const layers = config.get('layer_types')
  if (Array.isArray(layers) && layers.every((kind) => kind === 'full_attention')) return
  if (typeof window === 'number' && window >= maxPositions) return
  throw new UnsupportedModelError(
    `sliding_window is ${String(window)}: windowed attention is not part of the model here. ` +
      'Use a model without it, or set sliding_window to null in config.json if you accept full attention.',
  )
}
