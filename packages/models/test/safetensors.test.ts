import { memory } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, test } from 'vitest'
import { LlamaModel } from '../src/decoder/model.ts'
import { bytesFiles } from '../src/files/file-source.ts'
import { loadModelFiles } from '../src/load.ts'
import { openSafetensors } from '../src/weights/safetensors.ts'
import { useBackend } from './helpers/backend.ts'
import { NaiveCache } from './helpers/naive-cache.ts'
import { relativeError } from './helpers/reference-forward.ts'
import { TINY, tinyWeights } from './helpers/tiny-model.ts'
import { floatBytes, writeSafetensors } from './helpers/write-safetensors.ts'

const CONFIG = {
  model_type: 'llama',
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 48,
  vocab_size: 50,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  eos_token_id: 1,
}
const weights = tinyWeights(TINY, 11)
const tensors = [...weights.tensors].map(([name, { shape, data }]) => [name, { dtype: 'F32', shape, data: floatBytes(data) }] as const)
const whole = writeSafetensors(Object.fromEntries(tensors))
const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))
const load = (files: Record<string, Uint8Array>): ReturnType<typeof loadModelFiles> =>
  loadModelFiles(bytesFiles('folder', { 'config.json': json(CONFIG), ...files }))
const format = { code: 'MODEL_FORMAT' }

let expected: Float32Array
beforeAll(async () => {
  await useBackend()
  const model = await LlamaModel.load(TINY, weights)
  expected = await model.forward([3, 1, 4], new NaiveCache(model.shape))
  model.dispose()
})

async function logits(files: Record<string, Uint8Array>): Promise<Float32Array> {
  const { model } = await load(files)
  const values = await model.forward([3, 1, 4], new NaiveCache(model.shape))
  model.dispose()
  return values
}

describe('safetensors', () => {
  test('one file, and shards', async () => {
    expect(await logits({ 'model.safetensors': whole })).toEqual(expected)
    const shards = { 'a-1.safetensors': tensors.slice(0, 7), 'a-2.safetensors': tensors.slice(7) }
    const index = { weight_map: Object.fromEntries(Object.entries(shards).flatMap(([file, list]) => list.map(([name]) => [name, file]))) }
    const files = Object.fromEntries(Object.entries(shards).map(([file, list]) => [file, writeSafetensors(Object.fromEntries(list))]))
    expect(await logits({ 'model.safetensors.index.json': json(index), ...files })).toEqual(expected)
    const { 'a-2.safetensors': _, ...fewer } = files
    await expect(load({ 'model.safetensors.index.json': json(index), ...fewer })).rejects.toThrow(/folder has no a-2.safetensors/)
    await expect(load({ 'model.safetensors.index.json': json({ weight_map: { x: '../x.safetensors' } }) })).rejects.toMatchObject(format)
    await expect(load({ 'model.safetensors.index.json': json({}) })).rejects.toMatchObject(format)
  })
  test('bfloat16', async () => {
    const half = tensors.map(([name, { shape, data }]) => [name, { dtype: 'BF16', shape, data: data.filter((_, i) => i % 4 > 1) }] as const)
    expect(relativeError(await logits({ 'model.safetensors': writeSafetensors(Object.fromEntries(half)) }), expected)).toBeLessThan(0.05)
  })
  test('every truncation is refused before a tensor is made', async () => {
    const before = memory().numTensors
    for (const length of [0, 1, 7, 8, 9, 100, 1000, Math.floor(whole.length / 2), whole.length - 1])
      await expect(load({ 'model.safetensors': whole.subarray(0, length) }), `cut at ${length}`).rejects.toMatchObject(format)
    expect(memory().numTensors).toBe(before)
  })
  test('damaged headers', async () => {
    const header = (value: unknown): Uint8Array => {
      const text = typeof value === 'string' ? new TextEncoder().encode(value) : json(value)
      const bytes = new Uint8Array(8 + text.length + 64)
      new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true)
      bytes.set(text, 8)
      return bytes
    }
    const entry = { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] }
    expect((await openSafetensors(bytesFiles('f', { 'model.safetensors': header({ x: entry }) }))).find('x')!.shape).toEqual([2, 2])
    const bad = [
      '{',
      '[]',
      'null',
      { x: 1 },
      { x: { ...entry, dtype: 'F7' } },
      { x: { ...entry, shape: [2, -2] } },
      { x: { ...entry, shape: [2, 3] } },
      { x: { ...entry, data_offsets: [16, 0] } },
      { x: { ...entry, data_offsets: [0, 1e9] } },
      { x: { ...entry, data_offsets: [0] } },
    ]
    for (const value of bad)
      await expect(openSafetensors(bytesFiles('f', { 'model.safetensors': header(value) }))).rejects.toMatchObject(format)
  })
  test('missing files, missing and misshapen weights, types that are not floats', async () => {
    await expect(loadModelFiles(bytesFiles('folder', {}))).rejects.toThrow(/folder has no config.json/)
    await expect(loadModelFiles(bytesFiles('folder', { 'config.json': new Uint8Array(0) }))).rejects.toMatchObject(format)
    await expect(load({})).rejects.toThrow(/neither model.safetensors nor/)
    const before = memory().numTensors
    await expect(load({ 'model.safetensors': writeSafetensors(Object.fromEntries(tensors.slice(0, -1))) })).rejects.toThrow(
      /no weight 'model.norm.weight'/,
    )
    const other = (change: object): Uint8Array =>
      writeSafetensors(Object.fromEntries(tensors.map(([name, t]) => [name, name === 'model.norm.weight' ? { ...t, ...change } : t])))
    await expect(load({ 'model.safetensors': other({ shape: [16, 2] }) })).rejects.toThrow(/has shape \[16, 2\], the config needs \[32\]/)
    await expect(load({ 'model.safetensors': other({ dtype: 'I32' }) })).rejects.toMatchObject({ code: 'UNSUPPORTED_MODEL' })
    await expect(load({ 'model.safetensors': whole, 'tokenizer.json': json({}) })).rejects.toMatchObject(format)
    expect(memory().numTensors).toBe(before)
  })
  test('an own limit of positions, and stop tokens of generation_config.json', async () => {
    const files = bytesFiles('f', {
      'config.json': json(CONFIG),
      'model.safetensors': whole,
      'generation_config.json': json({ eos_token_id: [1, 7] }),
    })
    const { model, tokenizer } = await loadModelFiles(files, { maxPositions: 4 })
    expect([model.maxPositions, model.config.eos, tokenizer]).toEqual([4, [1, 7], undefined])
    await expect(model.forward([1, 1, 1, 1, 1], new NaiveCache(model.shape))).rejects.toMatchObject({ code: 'CONTEXT_LENGTH', limit: 4 })
    model.dispose()
    await expect(loadModelFiles(files, { maxPositions: 0 })).rejects.toMatchObject({ code: 'MODEL_INPUT' })
    await expect(loadModelFiles(files, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' })
  })
})
