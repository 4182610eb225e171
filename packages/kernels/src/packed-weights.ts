import { fromHalf, toHalfSaturated } from './half.ts'
import type { Heap } from './heap.ts'

/**
 * A matrix of a model in the heap, as its file has it. `f16`: halves; `bf16`: upper halves of float32. `q8` and `q4`: blocks of 32 inputs of one output, x = code * scale, for q4
 * + minimum; codes are signed bytes, or 0 to 15.
 *
 * Eight outputs lie together, so that a vector holds what meets the same inputs. f16 and bf16: [outputs / 8][inputs][8]. q8: [outputs / 8][inputs / 2][8][2]
 * bytes. q4: [outputs / 8][inputs / 32][8 pairs of inputs][8][2] bytes, whose lower halves are a block's first 16 inputs. Then, for q8 and q4, scales
 * [outputs / 8][inputs / 32][8], halves; then, for q4, minima likewise.
 */
export interface PackedWeights {
  readonly kind: 'f16' | 'bf16' | 'q8' | 'q4'
  readonly inputs: number
  readonly outputs: number
  readonly address: number
  /** Address of [inputs] float32 by which inputs are multiplied first. */
  readonly gain?: number
}

/** A matrix's sizes and kind, before it has a place. */
export type WeightsShape = Omit<PackedWeights, 'address' | 'gain'>

/** Bits of a code. */
const WEIGHT_BITS = { f16: 16, bf16: 16, q8: 8, q4: 4 } as const

/** True if such a matrix can be held: outputs in eights, inputs in blocks of 32. */
export function packable(inputs: number, outputs: number): boolean {
  return outputs % 8 === 0 && outputs > 0 && inputs > 0 && inputs % 32 === 0
}

export function weightsBytes({ kind, inputs, outputs }: WeightsShape): number {
  const scales = { f16: 0, bf16: 0, q8: 1, q4: 2 }[kind]
  return (inputs * outputs * (WEIGHT_BITS[kind] + scales / 2)) / 8
}

/** Where the scales begin, and the minima. */
export function weightsParts({ kind, inputs, outputs, address }: PackedWeights): { scales: number; minima: number } {
  const scales = address + (inputs * outputs * WEIGHT_BITS[kind]) / 8
  return { scales, minima: scales + (inputs * outputs) / 16 }
}

/** One output's weights as its file has them. */
export interface PackedRow {
  /** [inputs]: a half's bits, or an upper half's; -127 to 127, or 0 to 15. */
  codes: ArrayLike<number>
  /** [inputs / 32], for q8 and q4: numbers that are halves. */
  scales: ArrayLike<number>
  /** [inputs / 32], for q4. */
  minima: ArrayLike<number>
}

/** Writes one output's weights. */
export function putPackedWeights({ u8, u16 }: Heap, weights: PackedWeights, output: number, { codes, scales, minima }: PackedRow): void {
  const { kind, inputs, address } = weights
  const parts = weightsParts(weights)
  if (WEIGHT_BITS[kind] === 16) {
    const first = (address >>> 1) + (output >>> 3) * inputs * 8 + (output & 7)
    for (let i = 0; i < inputs; i++) u16[first + i * 8] = codes[i]
    return
  }
  for (let b = 0; b < inputs / 32; b++) {
    const at = scaleIndex(inputs, output, b)
    u16[(parts.scales >>> 1) + at] = toHalfSaturated(scales[b])
    if (kind === 'q4') u16[(parts.minima >>> 1) + at] = toHalfSaturated(minima[b])
  }
  const place = kind === 'q8' ? bytePlace : nibblePlace
  for (let i = 0; i < inputs; i++) {
    const at = address + place(inputs, output, i)
    if (kind === 'q8') u8[at] = codes[i]
    else u8[at] = i & 16 ? (u8[at] & 15) | (codes[i] << 4) : codes[i]
  }
}

/** All weights as numbers, the gain in them: [inputs][outputs]. */
export function readWeights(heap: Heap, weights: PackedWeights): Float32Array {
  const { inputs, outputs } = weights
  const out = new Float32Array(inputs * outputs)
  for (let i = 0; i < inputs; i++) for (let o = 0; o < outputs; o++) out[i * outputs + o] = weightAt(heap, weights, i, o)
  return out
}

/** One output's weights as numbers, without the gain: [inputs], from `into[at]` on. */
export function readWeightRow(heap: Heap, weights: PackedWeights, output: number, into: Float32Array, at: number): void {
  for (let i = 0; i < weights.inputs; i++) into[at + i] = codedWeight(heap, weights, i, output)
}

/** A weight as a number, times its input's gain. */
export function weightAt(heap: Heap, weights: PackedWeights, input: number, output: number): number {
  const { gain } = weights
  return codedWeight(heap, weights, input, output) * (gain ? heap.f32[(gain >>> 2) + input] : 1)
}

function codedWeight({ u8, u16 }: Heap, weights: PackedWeights, input: number, output: number): number {
  const { kind, inputs, address } = weights
  if (WEIGHT_BITS[kind] === 16) {
    const code = u16[(address >>> 1) + (output >>> 3) * inputs * 8 + input * 8 + (output & 7)]
    return kind === 'f16' ? fromHalf(code) : fromUpperHalf(code)
  }
  const { scales, minima } = weightsParts(weights)
  const at = scaleIndex(inputs, output, input >>> 5)
  const scale = fromHalf(u16[(scales >>> 1) + at])
  if (kind === 'q8') return ((u8[address + bytePlace(inputs, output, input)] << 24) >> 24) * scale
  const byte = u8[address + nibblePlace(inputs, output, input)]
  return (input & 16 ? byte >> 4 : byte & 15) * scale + fromHalf(u16[(minima >>> 1) + at])
}

function scaleIndex(inputs: number, output: number, block: number): number {
  return ((output >>> 3) * (inputs / 32) + block) * 8 + (output & 7)
}

function bytePlace(inputs: number, output: number, input: number): number {
  return (output >>> 3) * inputs * 8 + (input >>> 1) * 16 + (output & 7) * 2 + (input & 1)
}

function nibblePlace(inputs: number, output: number, input: number): number {
  return (output >>> 3) * inputs * 4 + (input >>> 5) * 128 + ((input & 15) >>> 1) * 16 + (output & 7) * 2 + (input & 1)
}

const bits = new Uint32Array(1)
const float = new Float32Array(bits.buffer)

function fromUpperHalf(code: number): number {
  bits[0] = code << 16
  return float[0]
}
