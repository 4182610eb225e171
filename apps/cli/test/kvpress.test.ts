import { createKernels } from '@kvfold/kernels'
import { KvCache } from '@kvfold/kv-core'
import { bytesFiles, loadModelFiles, type LlamaModel } from '@kvfold/models'
import { startBackend } from '@kvfold/models/node'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readSafetensors } from '../../../tooling/safetensors.ts'
import { registry } from '../src/registry.ts'

// A whole tiny model under NVIDIA/kvpress: logits of the next tokens after a prompt of 96 was halved. Only kvpress's rows give its logits.
const url = new URL('./data/kvpress_e2e.safetensors', import.meta.url)
const golden = readSafetensors(url)

let model: LlamaModel

beforeAll(async () => {
  await startBackend()
  const config = {
    model_type: 'llama',
    hidden_size: 64,
    intermediate_size: 128,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 16,
    vocab_size: 128,
    max_position_embeddings: 1024,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    tie_word_embeddings: false,
  }
  const files = { 'config.json': new TextEncoder().encode(JSON.stringify(config)), 'model.safetensors': withoutPrefix() }
  model = (await loadModelFiles(bytesFiles('tiny', files))).model
})

afterAll(() => model.dispose())

/** The file with its weights under their usual names. */
function withoutPrefix(): Uint8Array {
  const bytes = new Uint8Array(readFileSync(url))
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true))
  const header = new TextDecoder().decode(bytes.subarray(8, 8 + length)).replaceAll('"weights/', '"')
  const renamed = new TextEncoder().encode(header.padEnd(length))
  bytes.set(renamed, 8)
  return bytes
}

describe('logits after compression equal those of kvpress', () => {
  it.each([
    ['full', 'full'],
    ['knorm', 'knorm(budget=48)'],
    ['snapkv', 'snapkv(budget=48, window=8)'],
    ['expected_attention', 'expected-attention(budget=48)'],
    // kvpress cuts at the end of the prompt only.
    ['streaming_llm', 'streaming(budget=48) + trigger(every=100)'],
    ['tova', 'tova(budget=48, newest=true) + trigger(every=100)'],
    ['keyrerotation_knorm', 'knorm(budget=48) + rerotate'],
  ])('%s: %s', async (id, policy) => {
    const cache = new KvCache(model.shape, { policy: registry.policy(policy), kernels: createKernels() })
    const compare = (ours: Float32Array, theirs: ArrayLike<number>): void => {
      for (let i = 0; i < ours.length; i++) expect(Math.abs(ours[i] - theirs[i])).toBeLessThan(2e-3 + 1e-3 * Math.abs(theirs[i]))
    }
    compare(await model.forward(golden['input_ids'].data, cache), golden[`${id}/prompt_logits`].data)
    expect(cache.ledger().rows).toBe(4 * (id === 'full' ? 96 : 48))
    for (let step = 0; step < 4; step++) {
      const logits = await model.forward([golden['next_ids'].data[step]], cache)
      compare(logits, golden[`${id}/next_logits`].data.subarray(step * 128, (step + 1) * 128))
    }
    await cache.dispose()
  })
})
