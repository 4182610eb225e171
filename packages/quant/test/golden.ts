import fs from 'node:fs'

export interface GoldenTensor {
  shape: number[]
  data: Float32Array | Int32Array
}

export interface GoldenCase {
  id: string
  args: Record<string, number | boolean>
  inputs: Record<string, string>
  outputs: Record<string, string>
}

interface Entry {
  dtype: string
  shape: number[]
  data_offsets: number[]
}

/** Reads `data/NAME.json` and `data/NAME.safetensors`: what the authors' code gave for fixed inputs. */
export function golden(name: string): { cases: GoldenCase[]; tensor: (key: string) => GoldenTensor } {
  const url = (end: string): URL => new URL(`data/${name}.${end}`, import.meta.url)
  const { cases } = JSON.parse(fs.readFileSync(url('json'), 'utf8')) as { cases: GoldenCase[] }
  const file = fs.readFileSync(url('safetensors'))
  const start = 8 + Number(file.readBigUInt64LE(0))
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<string, Entry>
  return {
    cases,
    tensor(key) {
      const { dtype, shape, data_offsets } = header[key]
      const bytes = Uint8Array.from(file.subarray(start + data_offsets[0], start + data_offsets[1]))
      return { shape, data: dtype === 'F32' ? new Float32Array(bytes.buffer) : new Int32Array(bytes.buffer) }
    },
  }
}
