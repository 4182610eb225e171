import { affine, type Codec, type HeadPlace, type ModelParts, PAGE_ROWS, type StorageClass, UnsupportedPolicyError } from '@kvfold/kv-core'
import { nothing } from './nothing.ts'
import { inputsOf, packsInput } from './xquant-matrices.ts'

/** A token's numbers, up to 128 of which share a scale. */
export function perToken(bits: 2 | 4 | 8, headDim: number): Codec {
  return affine({ bits, axis: 'token', group: headDim > 128 && headDim % 128 === 0 ? 128 : headDim })
}

/**
 * How a head's share of what is packed is stored. The shares of an input that is packed as a whole fill as many heads' keys, then values, as it
 * needs; the others hold nothing.
 */
export function xquantClasses(
  name: string,
  bits: 2 | 4 | 8,
  together: boolean,
  place: HeadPlace,
  model: ModelParts,
): readonly StorageClass[] {
  const { head, kvHeads, headDim } = place
  const outputs = kvHeads * headDim
  const inputs = inputsOf(name, model, outputs)
  const tokens = perToken(bits, headDim)
  if (!packsInput(inputs, outputs, together))
    return [{ name, keys: together ? tokens : affine({ bits, axis: 'channel', group: PAGE_ROWS }), values: tokens }]
  if (inputs % headDim !== 0)
    throw new UnsupportedPolicyError(
      `${name} packs a layer's ${inputs} inputs in shares of a head's ${headDim} channels: they must divide.`,
    )
  const share = (index: number): Codec => (index < inputs / headDim ? tokens : nothing)
  return [{ name, keys: share(head), values: share(kvHeads + head) }]
}
