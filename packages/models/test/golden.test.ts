import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { configFromHuggingFace } from '../src/config/hugging-face.ts'
import { LlamaModel } from '../src/decoder/model.ts'
import { bytesFiles, bytesSource } from '../src/files/file-source.ts'
import { openSafetensors } from '../src/weights/safetensors.ts'
import { readSafetensorsHeader } from '../src/weights/safetensors-header.ts'
import { useBackend } from './helpers/backend.ts'
import { NaiveCache } from './helpers/naive-cache.ts'
import { relativeError } from './helpers/reference-forward.ts'

const config = configFromHuggingFace({
  model_type: 'llama',
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 128,
  vocab_size: 128,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  tie_word_embeddings: false,
})

let bytes: Uint8Array, model: LlamaModel
beforeAll(async () => {
  await useBackend()
  bytes = await readFile(new URL('data/tiny-llama.safetensors', import.meta.url))
  model = await LlamaModel.load(config, await openSafetensors(bytesFiles('tiny-llama', { 'model.safetensors': bytes })))
})
afterAll(() => model.dispose())

async function golden(name: string): Promise<Float32Array | Int32Array> {
  const { dtype, start, end } = (await readSafetensorsHeader(bytesSource('golden', bytes))).get(name)!
  const copy = new Uint8Array(bytes.subarray(start, end)).buffer
  return dtype === 'I32' ? new Int32Array(copy) : new Float32Array(copy)
}

test.each([2048, 96, 40, 7])('gives the logits of transformers, in chunks of %i', async (chunk) => {
  const cache = new NaiveCache(model.shape)
  expect(relativeError(await model.forward(await golden('input_ids'), cache, { chunk }), await golden('full/prompt_logits'))).toBeLessThan(
    1e-5,
  )
  const next = await golden('next_ids'),
    expected = await golden('full/next_logits')
  for (let i = 0; i < 4; i++)
    expect(relativeError(await model.forward([next[i]], cache), expected.subarray(i * 128, (i + 1) * 128))).toBeLessThan(1e-5)
})
