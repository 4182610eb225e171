import type { Heap } from './heap.ts'

/**
 * A matrix of a model in the heap, in blocks of 32 inputs of one output: x = code * scale + minimum. Codes, then scales [outputs][inputs / 32] float32, then, for q4,
 * minima likewise. q8 codes are signed bytes [outputs][inputs]; q4 codes [outputs][inputs / 32][16] bytes, of which the lower halves are a
 * block's first 16.
 */
export interface PackedWeights {
  readonly kind: 'q8' | 'q4'
  readonly inputs: number
  readonly outputs: number
  readonly address: number
  /** Address of [inputs] float32 by which inputs are multiplied first. */
  readonly gain?: number
}

/** A matrix's sizes and kind, before it has a place. */
export type WeightsShape = Omit<PackedWeights, 'address' | 'gain'>

/** True if such a matrix can be held: outputs in eights, inputs in blocks of 32. */
export function packable(inputs: number, outputs: number): boolean {
  return outputs % 8 === 0 && outputs > 0 && inputs > 0 && inputs % 32 === 0
}

export function weightsBytes({ kind, inputs, outputs }: WeightsShape): number {
  const numbers = inputs * outputs
  return kind === 'q8' ? numbers + numbers / 8 : numbers / 2 + numbers / 4
}

/** Where the scales begin, and the minima. */
export function weightsParts({ kind, inputs, outputs, address }: PackedWeights): { scales: number; minima: number } {
  const scales = address + (kind === 'q8' ? inputs * outputs : (inputs * outputs) / 2)
  return { scales, minima: scales + (inputs * outputs) / 8 }
}

/** One output's weights as its blocks have them. */
export interface PackedRow {
  /** [inputs]: -127 to 127, or 0 to 15. */
  codes: ArrayLike<number>
  /** [inputs / 32] */
  scales: ArrayLike<number>
  /** [inputs / 32], for q4. */
  minima: ArrayLike<number>
}

/** Writes one output's weights. */
export function putPackedWeights({ f32, u8 }: Heap, weights: PackedWeights, output: number, { codes, scales, minima }: PackedRow): void {
  const { kind, inputs, address } = weights
  const blocks = inputs / 32
  const parts = weightsParts(weights)
  for (let b = 0; b < blocks; b++) {
    f32[(parts.scales >>> 2) + output * blocks + b] = scales[b]
    if (kind === 'q4') f32[(parts.minima >>> 2) + output * blocks + b] = minima[b]
  }
  if (kind === 'q8') for (let i = 0; i < inputs; i++) u8[address + output * inputs + i] = codes[i]
  else
    for (let b = 0; b < blocks; b++)
      for (let j = 0; j < 16; j++) u8[address + (output * blocks + b) * 16 + j] = codes[b * 32 + j] | (codes[b * 32 + 16 + j] << 4)
}

/** All weights as numbers, the gain in them: [inputs][outputs]. */
export function readWeights(heap: Heap, weights: PackedWeights): Float32Array {
  const { inputs, outputs } = weights
  const out = new Float32Array(inputs * outputs)
  for (let i = 0; i < inputs; i++) for (let o = 0; o < outputs; o++) out[i * outputs + o] = weightAt(heap, weights, i, o)
  return out
}

/** A weight as a number, times its input's gain. */
export function weightAt(heap: Heap, weights: PackedWeights, input: number, output: number): number {
  const { gain } = weights
  return codedWeight(heap, weights, input, output) * (gain ? heap.f32[(gain >>> 2) + input] : 1)
}

function codedWeight({ f32, u8 }: Heap, weights: PackedWeights, input: number, output: number): number {
  const { kind, inputs, address } = weights
  const blocks = inputs / 32
  const block = output * blocks + (input >>> 5)
  const { scales, minima } = weightsParts(weights)
  const scale = f32[(scales >>> 2) + block]
  if (kind === 'q8') return ((u8[address + output * inputs + input] << 24) >> 24) * scale
  const byte = u8[address + block * 16 + (input & 15)]
  return (input & 16 ? byte >> 4 : byte & 15) * scale + f32[(minima >>> 2) + block]
}
