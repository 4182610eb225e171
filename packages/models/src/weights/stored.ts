import type { Decoder } from '../dequantize/decoder.ts'
import { readRange, type FileSource } from '../files/file-source.ts'
import type { StoredTensor } from './weights.ts'

export interface Place {
  file: FileSource
  /** Byte offsets in the file. */
  start: number
  end: number
  shape: readonly number[]
  type: string
  decoder: Decoder
  /** Which stored row holds row r. Default: r. */
  rowOf?: (row: number) => number
}

/** A tensor at a place in a file. */
export function stored(place: Place): StoredTensor {
  const { file, start, end, shape, type, decoder, rowOf = (row) => row } = place
  const columns = shape.at(-1) ?? 1
  const rowBytes = (columns / decoder.block) * decoder.bytes
  return {
    shape,
    type,
    async load() {
      const bytes = await readRange(file, start, end)
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const { packed } = decoder
      return {
        read: (index, into, at) => decoder.decode(view, rowOf(index) * rowBytes, columns, into, at),
        ...(packed && { packed: { kind: packed.kind, row: (index) => packed.row(view, rowOf(index) * rowBytes, columns) } }),
      }
    },
  }
}
