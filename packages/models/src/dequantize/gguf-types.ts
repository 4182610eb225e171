import { GGMLQuantizationType } from '@huggingface/gguf'
import type { Decoder } from './decoder.ts'
import { bf16, f16, f32 } from './floats.ts'
import { q4_K, q5_K, q6_K } from './k-quants.ts'
import { q4_0, q4_1, q5_0, q5_1, q8_0 } from './legacy.ts'

/** The decoders of GGUF tensor types, under llama.cpp's names. */
export const GGUF_DECODERS: Readonly<Record<string, Decoder>> = {
  F32: f32,
  F16: f16,
  BF16: bf16,
  Q8_0: q8_0,
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q4_K: q4_K,
  Q5_K: q5_K,
  Q6_K: q6_K,
}

/** The name of a GGUF tensor type. */
export function ggufTypeName(type: number): string {
  return GGMLQuantizationType[type] ?? `type ${type}`
}
