import { gguf, type GGUFParseOutput } from '@huggingface/gguf'
import { GGUF_DECODERS, ggufTypeName } from '../dequantize/gguf-types.ts'
import { storedBytes } from '../dequantize/decoder.ts'
import { ModelFormatError, UnsupportedModelError } from '../errors.ts'
import type { FileSource } from '../files/file-source.ts'

/** A GGUF file's metadata and tensor table, checked against the file. */
export interface GgufFile {
  file: FileSource
  metadata: Record<string, unknown>
  tensors: Map<string, GgufTensor>
  /** Byte offset of the tensor table, which ends the metadata. */
  tableStart: number
}

export interface GgufTensor {
  type: string
  /** Outermost first: [out, in]. (The file lists them the other way round.) */
  shape: number[]
  /** Byte offset in the file. */
  start: number
  /** Undefined for a type that the decoder does not know. */
  end: number | undefined
}

/** Reads the header. Throws ModelFormatError if it is damaged or if tensors lie outside of the file. */
export async function readGguf(file: FileSource): Promise<GgufFile> {
  let parsed: GGUFParseOutput
  try {
    // The parser knows URLs only; this address is never looked up.
    parsed = await gguf('https://file.invalid/model.gguf', { fetch: rangesOf(file) })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new ModelFormatError(`${file.name} is not a sound GGUF file (${why}): fetch it again.`, { cause })
  }
  if (!parsed.littleEndian) throw new UnsupportedModelError(`${file.name} is big-endian: convert it to a little-endian GGUF file.`)
  // Past the end the parser reads zeros.
  if (parsed.tensorInfoByteRange[1] > file.size) throw new ModelFormatError(`${file.name} is cut short within its header: fetch it again.`)
  const tensors = new Map<string, GgufTensor>()
  for (const info of parsed.tensorInfos) {
    const type = ggufTypeName(info.dtype)
    const shape = info.shape.map(Number).reverse()
    const start = Number(parsed.tensorDataOffset + info.offset)
    const decoder = GGUF_DECODERS[type]
    const bytes =
      decoder &&
      storedBytes(
        decoder,
        shape.reduce((a, b) => a * b, 1),
      )
    const end = bytes === undefined ? undefined : start + bytes
    if (decoder && (bytes === undefined || (shape.at(-1) ?? 1) % decoder.block !== 0))
      throw new ModelFormatError(`${file.name}: tensor '${info.name}' [${shape.join(', ')}] does not fill ${type} blocks: fetch it again.`)
    if ((end ?? start) > file.size)
      throw new ModelFormatError(`${file.name} ends at byte ${file.size}, but '${info.name}' needs ${end ?? start}: fetch it again.`)
    tensors.set(info.name, { type, shape, start, end })
  }
  return { file, metadata: parsed.metadata as unknown as Record<string, unknown>, tensors, tableStart: parsed.tensorInfoByteRange[0] }
}

/** A `fetch` that answers range requests from the file. */
function rangesOf(file: FileSource): typeof fetch {
  return async (_, init) => {
    const range = /bytes=(\d+)-(\d+)/.exec(new Headers(init?.headers).get('range') ?? '')!
    const start = Math.min(Number(range[1]), file.size),
      end = Math.min(Number(range[2]) + 1, file.size)
    const bytes = start < end ? await file.read(start, end) : new Uint8Array(0)
    return new Response(bytes as Uint8Array<ArrayBuffer>, { headers: { 'content-range': `bytes ${start}-${end - 1}/${file.size}` } })
  }
}
