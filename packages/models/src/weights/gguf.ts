import { configFromGguf } from '../config/gguf.ts'
import type { ModelConfig } from '../config/model-config.ts'
import { GGUF_DECODERS } from '../dequantize/gguf-types.ts'
import { ModelFormatError, UnsupportedModelError } from '../errors.ts'
import type { FileSource } from '../files/file-source.ts'
import { ggufName } from './gguf-names.ts'
import { readGguf, type GgufFile } from './gguf-file.ts'
import { stored } from './stored.ts'
import type { StoredTensor, Weights } from './weights.ts'

export interface GgufModel {
  config: ModelConfig
  weights: Weights
  /** All metadata, tokenizer included. */
  metadata: Record<string, unknown>
}

/** Opens a GGUF file: header and config now, weights when they are asked for. Throws ModelFormatError, UnsupportedModelError. */
export async function openGguf(file: FileSource): Promise<GgufModel> {
  const opened = await readGguf(file)
  const table = opened.tensors.get('token_embd.weight')
  if (!table) throw new ModelFormatError(`${file.name} has no token_embd.weight: use a GGUF file of a whole language model.`)
  const rope = find(opened, 'rope_freqs.weight')
  const factors = rope && new Float32Array(rope.shape[0])
  if (rope) (await rope.load()).read(0, factors!, 0)
  const config = configFromGguf(opened.metadata, {
    file: file.name,
    vocabulary: table.shape[0],
    head: opened.tensors.has('output.weight'),
    ...(factors && { frequencyFactors: factors }),
  })
  const weights: Weights = {
    name: file.name,
    find(name) {
      const own = ggufName(name)
      return own === undefined ? undefined : find(opened, own, rowOrder(config, name))
    },
    close: async () => file.close?.(),
  }
  return { config, weights, metadata: opened.metadata }
}

function find({ file, tensors }: GgufFile, name: string, rowOf?: (row: number) => number): StoredTensor | undefined {
  const tensor = tensors.get(name)
  if (!tensor) return undefined
  const { type, shape, start, end } = tensor
  const decoder = GGUF_DECODERS[type]
  if (!decoder || end === undefined)
    throw new UnsupportedModelError(`Weight '${name}' is stored as ${type}: use a GGUF file in ${Object.keys(GGUF_DECODERS).join(', ')}.`)
  return stored({ file, start, end, shape, type, decoder, ...(rowOf && { rowOf }) })
}

/**
 * Llama files keep the rows of query and key weights for a rotation of neighbouring channels (2j with 2j + 1). Ours rotates halves
 * (j with j + headDim/2), so that row p headDim/2 + j of a head is stored at 2j + p.
 */
function rowOrder(config: ModelConfig, name: string): ((row: number) => number) | undefined {
  if (config.architecture !== 'llama' && config.architecture !== 'mistral') return undefined
  if (!/\.self_attn\.[qk]_proj\.weight$/.test(name)) return undefined
  const { headDim } = config,
    half = headDim / 2
  return (row) => {
    const within = row % headDim
    return row - within + 2 * (within % half) + (within < half ? 0 : 1)
  }
}
