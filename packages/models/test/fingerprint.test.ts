import { beforeAll, expect, test } from 'vitest'
import type { ModelConfig } from '../src/config/model-config.ts'
import { LlamaModel } from '../src/decoder/model.ts'
import { useBackend } from './helpers/backend.ts'
import { TINY, tinyWeights, type TinyWeights } from './helpers/tiny-model.ts'

beforeAll(() => useBackend())

async function fingerprint(config: ModelConfig, weights: TinyWeights = tinyWeights(config, 7)): Promise<string> {
  const model = await LlamaModel.load(config, weights)
  model.dispose()
  return model.fingerprint
}

test('a fingerprint is the same for the same model, on every backend, whatever limits a user sets', async () => {
  const own = await fingerprint(TINY)
  expect(own).toMatch(/^llama-2x32-[0-9a-f]{16}$/)
  expect(await fingerprint({ ...TINY, maxPositions: 64, eos: [] })).toBe(own)
  // A GGUF file keeps it in 32 bits.
  expect(await fingerprint({ ...TINY, normEpsilon: Math.fround(TINY.normEpsilon) })).toBe(own)
  await useBackend('cpu')
  try {
    expect(await fingerprint(TINY)).toBe(own)
  } finally {
    await useBackend('wasm')
  }
})

test('every parameter counts, and every number that the decoder computes with', async () => {
  const config = { ...TINY, tiedEmbeddings: false }
  const own = await fingerprint(config)
  const known = new Set([own])
  for (const name of tinyWeights(config, 7).tensors.keys()) {
    const weights = tinyWeights(config, 7)
    weights.tensors.get(name)!.data[1] += 1e-3
    known.add(await fingerprint(config, weights))
  }
  expect(known.size).toBe(1 + tinyWeights(config, 7).tensors.size)
  for (const other of [
    { normEpsilon: 1e-6 },
    { rope: { theta: 20_000 } },
    { rope: { theta: 10_000, scaling: { type: 'linear', factor: 2 } } },
    { architecture: 'mistral' },
  ] as Partial<ModelConfig>[])
    known.add(await fingerprint({ ...config, ...other }, tinyWeights(config, 7)))
  expect(known.size).toBe(5 + tinyWeights(config, 7).tensors.size)
})
