import { dispose, mul, reshape, slice, tidy, transpose, type Tensor1D, type Tensor2D, type Tensor3D, tensor1d } from '@tensorflow/tfjs-core'
import type { LayerCache } from '@kvfold/kv-core'
import type { ModelConfig } from '../config/model-config.ts'
import type { Weights } from '../weights/weights.ts'
import { asTensor } from './as-tensor.ts'
import { swiglu } from './swiglu.ts'
import { apply, disposeLinear, type Linear } from './linear.ts'
import { loadLinear, loadVector } from './load-linear.ts'
import { retainingScores, type RetainingHead } from './retaining-heads.ts'
import type { ModelKernels } from './model-kernels.ts'
import { createNorm, normalize, normTensors, type Norm } from './norm.ts'

/** One decoder block's parameters. */
export interface Layer {
  config: ModelConfig
  norm: Norm
  query: Linear
  key: Linear
  value: Linear
  output: Linear
  gate: Linear
  up: Linear
  down: Linear
  /** Gains [headDim] of the norms on queries and keys (Qwen3). */
  heads?: { norm: Norm; query: Tensor1D; key: Tensor1D }
  retaining?: RetainingHead
}

/** Loads block `index`. `norm` is shared by all blocks. */
export async function loadLayer(
  weights: Weights,
  config: ModelConfig,
  index: number,
  norm: Norm,
  kernels: ModelKernels | undefined,
): Promise<Layer> {
  const { width, feedForward, queryHeads, kvHeads, headDim } = config
  const at = `model.layers.${index}`
  const before = await loadVector(weights, `${at}.input_layernorm.weight`, width)
  const after = await loadVector(weights, `${at}.post_attention_layernorm.weight`, width)
  return {
    config,
    norm,
    query: await loadLinear(weights, `${at}.self_attn.q_proj`, width, queryHeads * headDim, kernels, before),
    key: await loadLinear(weights, `${at}.self_attn.k_proj`, width, kvHeads * headDim, kernels, before),
    value: await loadLinear(weights, `${at}.self_attn.v_proj`, width, kvHeads * headDim, kernels, before),
    output: await loadLinear(weights, `${at}.self_attn.o_proj`, queryHeads * headDim, width, kernels),
    gate: await loadLinear(weights, `${at}.mlp.gate_proj`, width, feedForward, kernels, after),
    up: await loadLinear(weights, `${at}.mlp.up_proj`, width, feedForward, kernels, after),
    down: await loadLinear(weights, `${at}.mlp.down_proj`, feedForward, width, kernels),
    ...(config.queryKeyNorm && {
      heads: {
        norm: createNorm(headDim, config.normEpsilon, norm.kernels),
        query: tensor1d(await loadVector(weights, `${at}.self_attn.q_norm.weight`, headDim)),
        key: tensor1d(await loadVector(weights, `${at}.self_attn.k_norm.weight`, headDim)),
      },
    }),
  }
}

/**
 * x [n, width] -> the next block's x, [outputs, width]: only for the last so many tokens. The caller disposes both.
 * `queries`: how many of the last tokens' queries the cache is shown. `more`: later chunks of the same prompt follow.
 */
export async function runLayer(
  layer: Layer,
  x: Tensor2D,
  cache: LayerCache,
  more: boolean,
  queries: number,
  outputs: number,
): Promise<Tensor2D> {
  const { q, k, v, retaining } = tidy(() => project(layer, x, queries, cache.retaining ?? false))
  let attended: Tensor3D | undefined
  try {
    attended = asTensor(await cache.attend({ q, k, v, retaining, more, outputs })) as Tensor3D
    return tidy(() => finish(layer, lastRows(x, outputs), attended!))
  } finally {
    dispose(retaining ? [q, k, v, retaining] : [q, k, v])
    attended?.dispose()
  }
}

function project(
  layer: Layer,
  x: Tensor2D,
  last: number,
  retain: boolean,
): { q: Tensor3D; k: Tensor3D; v: Tensor3D; retaining: Tensor2D | undefined } {
  const {
    config: { queryHeads, kvHeads, headDim },
    heads,
  } = layer
  const normed = normalize(layer.norm, x)
  let q = apply(layer.query, lastRows(normed, last)),
    k = apply(layer.key, normed)
  if (heads) {
    q = normHeads(heads.norm, heads.query, q)
    k = normHeads(heads.norm, heads.key, k)
  }
  const v = apply(layer.value, normed)
  return {
    q: byHead(q, queryHeads, headDim),
    k: byHead(k, kvHeads, headDim),
    v: byHead(v, kvHeads, headDim),
    // Without retaining heads there is nothing to give: the cache says so.
    retaining: retain && layer.retaining ? retainingScores(layer.retaining, q, k, v) : undefined,
  }
}

/** The last rows of x [n, width]: x itself if that is all of them. */
function lastRows(x: Tensor2D, last: number): Tensor2D {
  const [n, width] = x.shape
  return last === n ? x : slice(x, [n - last, 0], [last, width])
}

function finish(layer: Layer, x: Tensor2D, attended: Tensor3D): Tensor2D {
  const { queryHeads, headDim } = layer.config
  const n = x.shape[0]
  const rows = n === 1 ? attended : transpose(attended, [1, 0, 2])
  const middle = apply(layer.output, reshape(rows, [n, queryHeads * headDim]), x)
  const normed = normalize(layer.norm, middle)
  const gated = swiglu(layer.norm.kernels, apply(layer.gate, normed), apply(layer.up, normed))
  return apply(layer.down, gated, middle)
}

/** [n, heads * headDim] -> [heads, n, headDim]. */
function byHead(x: Tensor2D, heads: number, headDim: number): Tensor3D {
  const n = x.shape[0]
  return n === 1 ? reshape(x, [heads, 1, headDim]) : transpose(reshape(x, [n, heads, headDim]), [1, 0, 2])
}

function normHeads(norm: Norm, gain: Tensor1D, x: Tensor2D): Tensor2D {
  return reshape(mul(normalize(norm, reshape(x, [-1, norm.width])), gain), x.shape)
}

/** The matrix products of a block, in order. */
export function linears(layer: Layer): Linear[] {
  return [layer.query, layer.key, layer.value, layer.output, layer.gate, layer.up, layer.down]
}

/** Frees a block; the shared norm stays. */
export function disposeLayer(layer: Layer): void {
  const { heads, retaining } = layer
  linears(layer).forEach(disposeLinear)
  if (retaining) dispose([retaining.query, retaining.key, retaining.value, retaining.score])
  if (heads) dispose([...normTensors(heads.norm), heads.query, heads.key])
}
