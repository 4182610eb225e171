import type { Decoder } from '../dequantize/decoder.ts'
import { bf16, f16, f32 } from '../dequantize/floats.ts'
import { ModelFormatError, UnsupportedModelError } from '../errors.ts'
import { readRange, type FileSource } from '../files/file-source.ts'

/** One entry of a safetensors header; `start` and `end` are offsets in the file. */
export interface SafetensorsEntry {
  dtype: string
  shape: number[]
  start: number
  end: number
}

const BYTES: Record<string, number> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
}

// The format's own limit.
const MAX_HEADER = 100_000_000

/** Reads and checks a safetensors header: lengths, JSON, types, shapes, and offsets inside the file. Throws ModelFormatError. */
export async function readSafetensorsHeader(file: FileSource): Promise<Map<string, SafetensorsEntry>> {
  const broken = (what: string, cause?: unknown): ModelFormatError =>
    new ModelFormatError(`${file.name} is not a sound safetensors file (${what}): fetch it again.`, { cause })
  if (file.size < 8) throw broken(`${file.size} bytes long`)
  const prefix = await readRange(file, 0, 8)
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true))
  if (length < 2 || length > MAX_HEADER || 8 + length > file.size) throw broken(`header of ${length} bytes in a file of ${file.size}`)

  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await readRange(file, 8, 8 + length)))
  } catch (cause) {
    throw broken('its header is not JSON', cause)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw broken('its header is not an object')

  const entries = new Map<string, SafetensorsEntry>()
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') continue
    const problem = checkEntry(value, file.size - 8 - length)
    if (problem) throw broken(`tensor '${name}' ${problem}`)
    const {
      dtype,
      shape,
      data_offsets: [from, to],
    } = value as { dtype: string; shape: number[]; data_offsets: [number, number] }
    entries.set(name, { dtype, shape, start: 8 + length + from, end: 8 + length + to })
  }
  return entries
}

function checkEntry(value: unknown, dataBytes: number): string | undefined {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>
  const whole = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0
  if (typeof dtype !== 'string' || !Object.hasOwn(BYTES, dtype)) return `has the unknown type ${JSON.stringify(dtype)}`
  if (!Array.isArray(shape) || !shape.every(whole)) return 'has no valid shape'
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(whole)) return 'has no valid offsets'
  const [from, to] = offsets as [number, number]
  if (from > to || to > dataBytes) return `ends at byte ${to} of ${dataBytes}: the file is cut short`
  const needed = shape.reduce((product, n) => product * n, 1) * BYTES[dtype]
  if (to - from !== needed) return `takes ${to - from} bytes, but its shape needs ${needed}`
  return undefined
}

/** Throws UnsupportedModelError unless the decoder can run weights of this type. */
export function safetensorsDecoder(dtype: string, name: string): Decoder {
  switch (dtype) {
    case 'F32':
      return f32
    case 'F16':
      return f16
    case 'BF16':
      return bf16
    default:
      throw new UnsupportedModelError(`Weight '${name}' is stored as ${dtype}: use a model in F32, F16 or BF16.`)
  }
}
