import { describe, expect, test } from 'vitest'
import { frequencies } from '@kvfold/kv-core'
import { configFromGguf, type GgufFacts } from '../src/config/gguf.ts'
import { configFromHuggingFace } from '../src/config/hugging-face.ts'
import { cacheShape } from '../src/config/model-config.ts'

const LLAMA = {
  model_type: 'llama',
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 96,
  vocab_size: 100,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 500000,
}
const read = (changes: object): ReturnType<typeof configFromHuggingFace> => configFromHuggingFace({ ...LLAMA, ...changes })
const unsupported = expect.objectContaining({ code: 'UNSUPPORTED_MODEL' })
const format = expect.objectContaining({ code: 'MODEL_FORMAT' })

describe('config.json', () => {
  test('Llama, SmolLM2', () => {
    expect(read({ bos_token_id: 1, eos_token_id: [2, 3], tie_word_embeddings: true })).toEqual({
      architecture: 'llama',
      layers: 2,
      width: 64,
      feedForward: 96,
      queryHeads: 4,
      kvHeads: 2,
      headDim: 16,
      vocabulary: 100,
      maxPositions: 8192,
      normEpsilon: 1e-5,
      rope: { theta: 500000 },
      tiedEmbeddings: true,
      queryKeyNorm: false,
      bos: 1,
      eos: [2, 3],
    })
    expect(cacheShape(read({}))).toEqual({ layers: 2, queryHeads: 4, kvHeads: 2, headDim: 16, rope: { theta: 500000 } })
    expect(read({ num_key_value_heads: undefined }).kvHeads).toBe(4)
    expect(read({ num_key_value_heads: null, head_dim: 32, bos_token_id: null })).toMatchObject({ kvHeads: 4, headDim: 32, eos: [] })
  })
  test('Qwen', () => {
    expect(read({ model_type: 'qwen2', use_sliding_window: false, sliding_window: 100 })).toMatchObject({
      architecture: 'qwen2',
      queryKeyNorm: false,
    })
    expect(read({ model_type: 'qwen3', sliding_window: null })).toMatchObject({ headDim: 128, queryKeyNorm: true })
    expect(read({ model_type: 'qwen3', head_dim: 64 }).headDim).toBe(64)
  })
  test('Mistral: a sliding window is refused unless it changes nothing', () => {
    const mistral = (sliding_window: unknown, more = {}): unknown => read({ model_type: 'mistral', sliding_window, ...more })
    expect(() => mistral(4096)).toThrow(unsupported)
    expect(() => mistral(4096)).toThrow(/sliding_window is 4096/)
    expect(() => read({ model_type: 'mistral' })).toThrow(/sliding_window is 4096/)
    expect(read({ model_type: 'mistral', max_position_embeddings: 4096 }).maxPositions).toBe(4096)
    expect(read({ model_type: 'qwen2', sliding_window: 4096 }).maxPositions).toBe(8192)
    expect(() => read({ model_type: 'qwen2', sliding_window: 4096, use_sliding_window: true })).toThrow(unsupported)
    for (const window of [null, 8192, 10000]) expect(mistral(window)).toMatchObject({ architecture: 'mistral' })
    expect(mistral(4096, { layer_types: ['full_attention', 'full_attention'] })).toMatchObject({ maxPositions: 8192 })
    expect(() => mistral(4096, { layer_types: ['full_attention', 'sliding_attention'] })).toThrow(unsupported)
  })
  test('rope scalings, as transformers 4 and 5 write them', () => {
    const scaled = (rope_scaling: object, more = {}): unknown => read({ rope_scaling, ...more })
    expect(scaled({ type: 'linear', factor: 2 })).toMatchObject({ rope: { scaling: { type: 'linear', factor: 2 } }, maxPositions: 8192 })
    expect(scaled({ type: 'dynamic', factor: 2 })).toMatchObject({
      rope: { scaling: { type: 'dynamic', factor: 2, maxPositions: 8192 } },
      maxPositions: 16384,
    })
    expect(
      scaled({ rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 4096 }),
    ).toMatchObject({
      rope: { theta: 500000, scaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 4096 } },
    })
    expect(scaled({ type: 'yarn', factor: 4, original_max_position_embeddings: 8192 })).toMatchObject({
      rope: { scaling: { type: 'yarn', factor: 4, originalMaxPositions: 8192 } },
      maxPositions: 32768,
    })
    expect(scaled({ type: 'yarn', factor: 40, mscale: 1, mscale_all_dim: 0.5, beta_fast: 16, beta_slow: 2 })).toMatchObject({
      rope: { scaling: { betaFast: 16, betaSlow: 2, attentionFactor: (0.1 * Math.log(40) + 1) / (0.05 * Math.log(40) + 1) } },
    })
    expect(read({ rope_theta: undefined, rope_parameters: { rope_type: 'default', rope_theta: 7 } }).rope).toEqual({ theta: 7 })
    expect(
      read({ rope_theta: undefined, rope_parameters: { full_attention: { rope_type: 'linear', factor: 3, rope_theta: 9 } } }).rope,
    ).toEqual({ theta: 9, scaling: { type: 'linear', factor: 3 } })
    expect(() => scaled({ type: 'longrope', factor: 2 })).toThrow(unsupported)
    expect(() => scaled({ type: 'yarn', factor: 2, truncate: false })).toThrow(unsupported)
    expect(() => scaled({ type: 'linear' })).toThrow(format)
    expect(() => read({ partial_rotary_factor: 0.5 })).toThrow(unsupported)
  })
  test('says what is wrong', () => {
    for (const json of [null, 3, [], 'x']) expect(() => configFromHuggingFace(json)).toThrow(format)
    expect(() => read({ model_type: 'gpt2' })).toThrow(/Architecture 'gpt2' is not supported: use one of llama, mistral, qwen2, qwen3/)
    expect(() => read({ model_type: undefined })).toThrow(unsupported)
    expect(() => read({ hidden_act: 'gelu' })).toThrow(unsupported)
    expect(() => read({ quantization_config: { quant_method: 'gptq' } })).toThrow(unsupported)
    expect(() => read({ hidden_size: undefined })).toThrow(/config.json lacks 'hidden_size'/)
    for (const hidden_size of ['64', 0, -1, 1.5, {}]) expect(() => read({ hidden_size })).toThrow(format)
    expect(() => read({ num_key_value_heads: 3 })).toThrow(/4 query heads do not divide into 3 KV heads/)
    expect(() => read({ head_dim: 15 })).toThrow(format)
    expect(() => read({ eos_token_id: 'end' })).toThrow(format)
  })
})

describe('GGUF metadata', () => {
  const METADATA = {
    'general.architecture': 'llama',
    'llama.embedding_length': 64,
    'llama.block_count': 2,
    'llama.attention.head_count': 4,
    'llama.attention.head_count_kv': 2,
    'llama.feed_forward_length': 96,
    'llama.context_length': 8192n,
    'llama.attention.layer_norm_rms_epsilon': 1e-5,
    'llama.rope.freq_base': 500000,
    'llama.rope.dimension_count': 16,
    'tokenizer.ggml.bos_token_id': 1,
    'tokenizer.ggml.eos_token_id': 2,
  }
  const gguf = (changes: object, facts: Partial<GgufFacts> = {}): ReturnType<typeof configFromGguf> =>
    configFromGguf({ ...METADATA, ...changes }, { file: 'model.gguf', vocabulary: 100, head: false, ...facts })

  test('gives what config.json gives', () => {
    expect(gguf({})).toEqual(read({ bos_token_id: 1, eos_token_id: 2, tie_word_embeddings: true }))
    expect(gguf({}, { head: true }).tiedEmbeddings).toBe(false)
    expect(gguf({ 'tokenizer.ggml.eot_token_id': 9 }).eos).toEqual([2, 9])
  })
  test('scalings', () => {
    const prefix = 'llama.rope.scaling.'
    expect(gguf({ [`${prefix}type`]: 'linear', [`${prefix}factor`]: 4 }).rope.scaling).toEqual({ type: 'linear', factor: 4 })
    expect(gguf({ [`${prefix}type`]: 'none' }).rope.scaling).toBeUndefined()
    expect(gguf({ [`${prefix}type`]: 'yarn', [`${prefix}factor`]: 4, [`${prefix}original_context_length`]: 2048 }).rope.scaling).toEqual({
      type: 'yarn',
      factor: 4,
      originalMaxPositions: 2048,
    })
    expect(() => gguf({ [`${prefix}type`]: 'longrope', [`${prefix}factor`]: 4 })).toThrow(unsupported)
  })
  test('finds the rule behind stored divisors (Llama 3)', () => {
    const scaling = { type: 'llama3', factor: 32, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 8192 } as const
    const plain = frequencies({ theta: 500000 }, 16, 1).perPair,
      scaled = frequencies({ theta: 500000, scaling }, 16, 1).perPair
    expect(gguf({}, { frequencyFactors: Float32Array.from(plain, (f, i) => f / scaled[i]!) }).rope.scaling).toEqual(scaling)
    expect(gguf({}, { frequencyFactors: new Float32Array(8).fill(1) }).rope.scaling).toBeUndefined()
    expect(() => gguf({}, { frequencyFactors: Float32Array.of(1, 2, 1, 2, 1, 2, 1, 2) })).toThrow(unsupported)
    expect(() => gguf({}, { frequencyFactors: new Float32Array(5) })).toThrow(format)
  })
  test('says what is wrong', () => {
    expect(() => gguf({ 'general.architecture': 'gemma3' })).toThrow(/Architecture 'gemma3'/)
    expect(() => gguf({ 'llama.block_count': undefined })).toThrow(/model.gguf lacks 'block_count'/)
    expect(() => gguf({ 'llama.expert_count': 8 })).toThrow(unsupported)
    expect(() => gguf({ 'llama.attention.sliding_window': 1024 })).toThrow(unsupported)
    expect(() => gguf({ 'llama.attention.head_count': [4, 8] })).toThrow(unsupported)
    expect(() => gguf({ 'llama.rope.dimension_count': 8 })).toThrow(unsupported)
    expect(() => gguf({ 'llama.attention.value_length': 8 })).toThrow(unsupported)
  })
})
