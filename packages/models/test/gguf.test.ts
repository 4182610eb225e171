import { memory } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, test } from 'vitest'
import { LlamaModel } from '../src/decoder/model.ts'
import { bytesSource } from '../src/files/file-source.ts'
import { loadGguf } from '../src/load.ts'
import { ggufName } from '../src/weights/gguf-names.ts'
import { useBackend } from './helpers/backend.ts'
import { NaiveCache } from './helpers/naive-cache.ts'
import { TINY, tinyWeights } from './helpers/tiny-model.ts'
import { floatBytes } from './helpers/write-safetensors.ts'
import { writeGguf } from './helpers/write-gguf.ts'

const metadata = (architecture: string): Parameters<typeof writeGguf>[0] => ({
  'general.architecture': architecture,
  ...Object.fromEntries(
    Object.entries({
      embedding_length: 32,
      block_count: 2,
      'attention.head_count': 4,
      'attention.head_count_kv': 2,
      feed_forward_length: 48,
      context_length: 128,
      'attention.layer_norm_rms_epsilon': 1e-5,
      'rope.freq_base': 10000,
    }).map(([key, value]) => [`${architecture}.${key}`, value]),
  ),
})

/** Reorders rows as llama.cpp's converter does: [heads, 2, half, in] -> [heads, half, 2, in]. */
function interleave(data: Float32Array, columns: number, headDim: number): Float32Array {
  const out = new Float32Array(data.length),
    half = headDim / 2
  for (let row = 0; row < data.length / columns; row++) {
    const head = Math.floor(row / headDim),
      p = Math.floor((row % headDim) / half),
      j = row % half
    out.set(data.subarray(row * columns, (row + 1) * columns), (head * headDim + 2 * j + p) * columns)
  }
  return out
}

function file(architecture: 'llama' | 'qwen2', weights: ReturnType<typeof tinyWeights>, type = 0): Uint8Array {
  return writeGguf(
    metadata(architecture),
    [...weights.tensors].map(([name, { shape, data }]) => {
      const permuted = architecture === 'llama' && /[qk]_proj.weight$/.test(name)
      return { name: ggufName(name)!, shape, type, data: floatBytes(permuted ? interleave(data, shape[1]!, TINY.headDim) : data) }
    }),
  )
}

const tokens = [3, 1, 4, 1, 5, 9, 2, 6]
const run = async (model: LlamaModel): Promise<Float32Array> => {
  const values = await model.forward(tokens, new NaiveCache(model.shape))
  model.dispose()
  return values
}
const load = (bytes: Uint8Array): ReturnType<typeof loadGguf> => loadGguf(bytesSource('tiny.gguf', bytes))

describe('GGUF', () => {
  beforeAll(() => useBackend())

  test('llama: query and key rows come back in order', async () => {
    const weights = tinyWeights(TINY, 5)
    const { model, tokenizer } = await load(file('llama', weights))
    expect(tokenizer).toBeUndefined()
    const same = await LlamaModel.load(TINY, weights)
    expect(model.fingerprint).toBe(same.fingerprint)
    expect(await run(model)).toEqual(await run(same))
  })
  test('qwen2: biases, rows as they are, own head', async () => {
    const config = { ...TINY, architecture: 'qwen2', tiedEmbeddings: false } as const
    const weights = tinyWeights(config, 6, ['q_proj', 'k_proj', 'v_proj'])
    const { model } = await load(file('qwen2', weights))
    expect(model.config.tiedEmbeddings).toBe(false)
    expect(await run(model)).toEqual(await run(await LlamaModel.load(config, weights)))
  })
  test('every truncation is refused', async () => {
    const bytes = file('llama', tinyWeights(TINY, 5)),
      before = memory().numTensors
    // The last byte of the file is padding or a weight; the last weight ends within 32 bytes of the end.
    for (const length of [0, 3, 4, 12, 23, 24, 60, 200, 500, 900, 1500, Math.floor(bytes.length / 2), bytes.length - 33])
      await expect(load(bytes.slice(0, length)), `cut at ${length}`).rejects.toMatchObject({ code: 'MODEL_FORMAT' })
    expect(memory().numTensors).toBe(before)
  })
  test('says what is wrong', async () => {
    await expect(load(new TextEncoder().encode('{"this": "is not a GGUF file at all, but long enough"}'))).rejects.toMatchObject({
      code: 'MODEL_FORMAT',
    })
    const table = { name: 'token_embd.weight', shape: [50, 32], type: 0, data: new Uint8Array(6400) }
    await expect(load(writeGguf({ ...metadata('llama'), 'general.architecture': 'rwkv' }, [table]))).rejects.toMatchObject({
      code: 'UNSUPPORTED_MODEL',
    })
    await expect(load(writeGguf(metadata('llama'), []))).rejects.toThrow(/no token_embd.weight/)
    await expect(load(writeGguf(metadata('llama'), [table]))).rejects.toThrow(/no weight 'model.layers.0/)
    // Type 19 is IQ1_S.
    await expect(load(writeGguf(metadata('llama'), [{ ...table, type: 19 }]))).rejects.toThrow(/stored as IQ1_S: use a GGUF file in F32/)
    await expect(load(writeGguf(metadata('llama'), [{ ...table, shape: [50, 33], type: 8 }]))).rejects.toThrow(/does not fill Q8_0 blocks/)
  })
})
