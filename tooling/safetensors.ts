import { readFileSync } from 'node:fs'

export interface StoredTensor {
  shape: number[]
  data: Float32Array | Int32Array
}

/** For tests: all float32 and int32 tensors of a safetensors file, such as what the authors' code gave for fixed inputs. */
export function readSafetensors(url: URL): Record<string, StoredTensor> {
  const bytes = new Uint8Array(readFileSync(url))
  const start = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true))
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start))) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >
  const entries = Object.entries(header).filter(([, { dtype }]) => dtype === 'F32' || dtype === 'I32')
  return Object.fromEntries(
    entries.map(([name, { dtype, shape, data_offsets }]) => {
      const { buffer } = bytes.slice(start + data_offsets[0], start + data_offsets[1])
      return [name, { shape, data: dtype === 'F32' ? new Float32Array(buffer) : new Int32Array(buffer) }]
    }),
  )
}
