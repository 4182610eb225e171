import {
  affine,
  type Codec,
  type Encoder,
  type HeadPlace,
  type ModelParts,
  PAGE_ROWS,
  type Paper,
  type StorageClass,
  UnsupportedPolicyError,
} from '@kvfold/kv-core'
import { nothing } from './nothing.ts'
import { XquantBasis } from './xquant-basis.ts'
import { inputsOf, packsInput } from './xquant-matrices.ts'

export const PAPER: Paper = {
  title: 'XQuant: Breaking the Memory Wall for LLM Inference with KV Cache Rematerialization',
  arxiv: '2508.10395',
  year: 2025,
}

type Bits = 2 | 4 | 8

/** How XQuant's versions store rows, in `bitsOf(layer)` bits; from layer `deltas` on as differences to the layer before, Infinity: nowhere. */
export function xquantEncoder(name: string, bitsOf: (layer: number) => Bits, deltas: number): Encoder {
  const codec = perToken(bitsOf(0), PAGE_ROWS)
  const rule = { keep: 0, step: PAGE_ROWS }
  return {
    classes: [{ name, keys: codec, values: codec }],
    classesOf: (place, model) => [classOf(name, bitsOf(place.layer), deltas < Infinity, place, model)],
    flush: { keys: rule, values: rule },
    basis: (at) => new XquantBasis(name, at, deltas),
  }
}

/** A token's numbers, up to 128 of which share a scale. */
function perToken(bits: Bits, headDim: number): Codec {
  return affine({ bits, axis: 'token', group: headDim > 128 && headDim % 128 === 0 ? 128 : headDim })
}

/**
 * How a head's share of what is packed is stored. The shares of an input that is packed as a whole fill as many heads' keys, then values, as it
 * needs; the others hold nothing.
 */
function classOf(name: string, bits: Bits, together: boolean, place: HeadPlace, model: ModelParts): StorageClass {
  const { head, kvHeads, headDim } = place
  const outputs = kvHeads * headDim
  const inputs = inputsOf(name, model, outputs)
  const tokens = perToken(bits, headDim)
  if (!packsInput(inputs, outputs, together))
    return { name, keys: together ? tokens : affine({ bits, axis: 'channel', group: PAGE_ROWS }), values: tokens }
  if (inputs % headDim !== 0)
    throw new UnsupportedPolicyError(
      `${name} packs a layer's ${inputs} inputs in shares of a head's ${headDim} channels: they must divide.`,
    )
  const share = (index: number): Codec => (index < inputs / headDim ? tokens : nothing)
  return { name, keys: share(head), values: share(kvHeads + head) }
}
