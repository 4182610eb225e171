import { createRandom } from '@kvfold/kv-core'
import type { ModelConfig } from '../../src/config/model-config.ts'
import type { Weights } from '../../src/weights/weights.ts'

export const TINY: ModelConfig = {
  architecture: 'llama',
  layers: 2,
  width: 32,
  feedForward: 48,
  queryHeads: 4,
  kvHeads: 2,
  headDim: 8,
  vocabulary: 50,
  maxPositions: 128,
  normEpsilon: 1e-5,
  rope: { theta: 10000 },
  tiedEmbeddings: true,
  queryKeyNorm: false,
  eos: [1],
}

export interface TinyWeights extends Weights {
  /** Name -> shape and values. */
  tensors: Map<string, { shape: number[]; data: Float32Array }>
}

/** Random weights for a config; `bias` names the linear parts that get one. */
export function tinyWeights(config: ModelConfig, seed: number, bias: string[] = []): TinyWeights {
  const random = createRandom(seed)
  const tensors: TinyWeights['tensors'] = new Map()
  const put = (name: string, shape: number[], scale: number, offset = 0): void => {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => offset + scale * (random() * 2 - 1))
    tensors.set(name, { shape, data })
  }
  const { width, feedForward, queryHeads, kvHeads, headDim, vocabulary } = config
  put('model.embed_tokens.weight', [vocabulary, width], 1)
  for (let i = 0; i < config.layers; i++) {
    const at = `model.layers.${i}`
    const linear = (name: string, inputs: number, outputs: number): void => {
      put(`${at}.${name}.weight`, [outputs, inputs], 2 / Math.sqrt(inputs))
      if (bias.some((part) => name.endsWith(part))) put(`${at}.${name}.bias`, [outputs], 0.5)
    }
    put(`${at}.input_layernorm.weight`, [width], 0.3, 1)
    put(`${at}.post_attention_layernorm.weight`, [width], 0.3, 1)
    linear('self_attn.q_proj', width, queryHeads * headDim)
    linear('self_attn.k_proj', width, kvHeads * headDim)
    linear('self_attn.v_proj', width, kvHeads * headDim)
    linear('self_attn.o_proj', queryHeads * headDim, width)
    linear('mlp.gate_proj', width, feedForward)
    linear('mlp.up_proj', width, feedForward)
    linear('mlp.down_proj', feedForward, width)
    if (config.queryKeyNorm) {
      put(`${at}.self_attn.q_norm.weight`, [headDim], 0.3, 1)
      put(`${at}.self_attn.k_norm.weight`, [headDim], 0.3, 1)
    }
  }
  put('model.norm.weight', [width], 0.3, 1)
  if (!config.tiedEmbeddings) put('lm_head.weight', [vocabulary, width], 1)
  return { ...arrayWeights(tensors), tensors }
}

/** Weights over plain arrays. */
function arrayWeights(tensors: ReadonlyMap<string, { shape: number[]; data: Float32Array }>): Weights {
  return {
    name: 'tiny',
    find(name) {
      const found = tensors.get(name)
      if (!found) return undefined
      const columns = found.shape.at(-1)!
      return {
        shape: found.shape,
        type: 'F32',
        load: async () => ({ read: (row, into, at) => into.set(found.data.subarray(row * columns, (row + 1) * columns), at) }),
      }
    },
    close: async () => {},
  }
}
