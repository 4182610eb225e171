import type { PackedRow, PackedWeights } from '@kvfold/kernels'

/** How one stored type becomes float32. */
export interface Decoder {
  /** Values per block. */
  readonly block: number
  /** Bytes per block. */
  readonly bytes: number
  /** Decodes `count` values (a multiple of `block`) that start at byte `from`, to `into[at ...]`. */
  decode(view: DataView, from: number, count: number, into: Float32Array, at: number): void
  /** How kernels take it as it is, if they do: what they call it, and the parts of `count` values that start at byte `from`. */
  readonly packed?: PackedType
}

export interface PackedType {
  readonly kind: PackedWeights['kind']
  row(view: DataView, from: number, count: number): PackedRow
}

/** Bytes of `count` values; undefined if they do not fill whole blocks. */
export function storedBytes(decoder: Decoder, count: number): number | undefined {
  return count % decoder.block === 0 ? (count / decoder.block) * decoder.bytes : undefined
}
