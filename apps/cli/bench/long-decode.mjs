// A decode step of SmolLM2-135M after 8,191 tokens, with the full cache and with a compressed one, and what a step without any rows takes, which
// bounds what compression can gain: `node apps/cli/bench/long-decode.mjs [TOKENS]`, after a build and `node tooling/scripts/llama-parity.mjs`. In turns, medians.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as eviction from '@kvfold/eviction'
import { heldOutDocuments } from '@kvfold/eval/node'
import { createKernels } from '@kvfold/kernels'
import { KvCache, Registry } from '@kvfold/kv-core'
import { loadModel } from '@kvfold/models/node'
import * as quant from '@kvfold/quant'
import { clock, median } from './clock.mjs'

const POLICIES = ['full', 'kivi(bits=4)', 'snapkv(budget=1024)', 'snapkv(budget=1024) + kivi(bits=4)']
const ROUNDS = 15

const path = fileURLToPath(new URL('../../../.cache/llama-parity/SmolLM2-135M-Instruct.Q4_1.gguf', import.meta.url))
if (!existsSync(path)) {
  console.log('SKIPPED: run node tooling/scripts/llama-parity.mjs first, which fetches the model')
  process.exit(0)
}
const { model, tokenizer } = await loadModel(path)
const kernels = createKernels()
const registry = new Registry({ eviction, quant })
const count = Number(process.argv[2] ?? 8191) - ROUNDS
const tokens = tokenizer.encode((await heldOutDocuments()).join('\n')).slice(0, count)

const sides = []
for (const text of ['no rows', ...POLICIES]) {
  const cache = new KvCache(model.shape, { policy: registry.policy(text === 'no rows' ? 'full' : text), kernels, model })
  const read = text === 'no rows' ? tokens.slice(0, 1) : tokens
  const time = await clock(() => model.forward(read, cache, { logits: 'none' }))
  console.error(`${text}: ${read.length} tokens read in ${(time / 1000).toFixed(1)} s`)
  sides.push({ text, cache, times: [] })
}
for (let round = 0; round < ROUNDS; round++)
  for (const { cache, times } of sides) times.push(await clock(() => model.forward([tokens[round]], cache)))
const full = median(sides.find(({ text }) => text === 'full').times)
for (const { text, cache, times } of sides)
  console.log(
    `${text.padEnd(36)} ${median(times).toFixed(1).padStart(6)} ms a token, ${(median(times) / full).toFixed(2)} of full, ${(cache.ledger().bytes / 1e6).toFixed(1)} MB`,
  )
