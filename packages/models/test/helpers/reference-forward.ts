import { cacheShape, type ModelConfig } from '../../src/config/model-config.ts'
import { attendOne, rotate } from './naive-cache.ts'
import type { TinyWeights } from './tiny-model.ts'

type Row = Float64Array

/** Logits of every token, [tokens][vocabulary]: the whole model in float64, token by token, with nothing folded or fused. */
export function referenceForward(config: ModelConfig, weights: TinyWeights, tokens: number[]): Row[] {
  const shape = cacheShape(config)
  const w = (name: string): Float32Array => weights.tensors.get(name)!.data
  const linear = (name: string, x: Row): Row => {
    const weight = w(`${name}.weight`),
      bias = weights.tensors.get(`${name}.bias`)?.data
    const outputs = weight.length / x.length
    return Float64Array.from({ length: outputs }, (_, o) => x.reduce((s, v, i) => s + v * weight[o * x.length + i], bias ? bias[o] : 0))
  }
  const norm = (name: string, x: Row): Row => {
    const mean = x.reduce((s, v) => s + v * v, 0) / x.length
    return x.map((v, i) => (v / Math.sqrt(mean + config.normEpsilon)) * w(name)[i])
  }
  const add = (a: Row, b: Row): Row => a.map((v, i) => v + b[i])
  const heads = (x: Row, count: number): Row[] =>
    Array.from({ length: count }, (_, h) => x.slice(h * config.headDim, (h + 1) * config.headDim))

  let hidden: Row[] = tokens.map((t) =>
    Float64Array.from(w('model.embed_tokens.weight').subarray(t * config.width, (t + 1) * config.width)),
  )
  for (let layer = 0; layer < config.layers; layer++) {
    const at = `model.layers.${layer}`
    const keys: Row[][] = Array.from({ length: config.kvHeads }, () => [])
    const values: Row[][] = Array.from({ length: config.kvHeads }, () => [])
    hidden = hidden.map((x, position) => {
      const normed = norm(`${at}.input_layernorm.weight`, x)
      const prepare = (part: string, count: number): Row[] =>
        heads(linear(`${at}.self_attn.${part}_proj`, normed), count)
          .map((head) => (config.queryKeyNorm ? norm(`${at}.self_attn.${part}_norm.weight`, head) : head))
          .map((head) => rotate(head, position, shape))
      const q = prepare('q', config.queryHeads)
      prepare('k', config.kvHeads).forEach((head, h) => keys[h].push(head))
      heads(linear(`${at}.self_attn.v_proj`, normed), config.kvHeads).forEach((head, h) => values[h].push(head))
      const attended = q.flatMap((head, h) => {
        const kv = Math.floor(h / (config.queryHeads / config.kvHeads))
        return [...attendOne(head, keys[kv], values[kv], position + 1)]
      })
      const middle = add(x, linear(`${at}.self_attn.o_proj`, Float64Array.from(attended)))
      const again = norm(`${at}.post_attention_layernorm.weight`, middle)
      const gate = linear(`${at}.mlp.gate_proj`, again),
        up = linear(`${at}.mlp.up_proj`, again)
      return add(
        middle,
        linear(
          `${at}.mlp.down_proj`,
          gate.map((g, i) => (g / (1 + Math.exp(-g))) * up[i]),
        ),
      )
    })
  }
  const head = config.tiedEmbeddings ? 'model.embed_tokens' : 'lm_head'
  return hidden.map((x) => linear(head, norm('model.norm.weight', x)))
}

/** Largest |a - b| over the largest |b|. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0,
    scale = 0
  for (let i = 0; i < b.length; i++) {
    difference = Math.max(difference, Math.abs(a[i] - b[i]))
    scale = Math.max(scale, Math.abs(b[i]))
    if (Number.isNaN(a[i])) return NaN
  }
  return difference / scale
}
