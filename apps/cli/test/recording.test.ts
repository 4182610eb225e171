import { fileURLToPath } from 'node:url'
import { follow, needles, Pool, PromptWriter, record, TASK_TEXT, transcribe, type Prompt, type Runner } from '@kvfold/eval'
import { heldOutDocuments } from '@kvfold/eval/node'
import { createKernels } from '@kvfold/kernels'
import { createRandom, isReplayable, RecordedPrompt, UnsupportedPolicyError } from '@kvfold/kv-core'
import type { LlamaModel } from '@kvfold/models'
import { loadModel } from '@kvfold/models/node'
import { modelUrl } from '@kvfold/reference-model'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { registry } from '../src/registry.ts'

let model: LlamaModel
let prompt: Prompt

beforeAll(async () => {
  const loaded = await loadModel(fileURLToPath(modelUrl))
  model = loaded.model
  const pool = new Pool(TASK_TEXT, createRandom(5))
  const writer = new PromptWriter(TASK_TEXT, loaded.tokenizer!, await heldOutDocuments())
  const facts = needles(TASK_TEXT, pool, 'needle-number', 3)
  prompt = writer.prompt(facts, facts.questions[1], 400, pool)
})

afterAll(() => model.dispose())

describe('a prompt that was read once for all policies', () => {
  const policies = registry
    .list()
    .filter(({ method }) => 'budget' in method.params.shape)
    .map(({ method }) => registry.policy(`${method.name}(budget=30%)`))
    .filter(isReplayable)

  it.each([false, true])('gives each what it would have read itself (question-aware: %s)', async (questionAware) => {
    const kernels = createKernels()
    const before = kernels.heap.live
    const runner: Runner = { model, kernels, questionAware }
    const recording = await record(runner, policies, prompt)
    const full = await transcribe(runner, prompt, 6)
    const replayed = await transcribe(runner, prompt, 6, undefined, recording)
    expect(replayed.tokens).toEqual(full.tokens)
    expect(replayed.ledger.bytes).toBe(full.ledger.bytes)
    expect(policies.length).toBeGreaterThan(15)
    for (const policy of policies) {
      const alone = await follow(runner, policy, prompt, full)
      const taken = await follow(runner, policy, prompt, full, recording)
      expect(taken.prefillMs).toBeUndefined()
      const told = ({ tokens, ledger }: typeof alone) => ({ policy: policy.text, tokens, rows: ledger.rows, bytes: ledger.bytes })
      expect(told(taken)).toEqual(told(alone))
      expect(Math.abs(taken.kld - alone.kld)).toBeLessThan(1e-3 + 0.01 * alone.kld)
    }
    await recording.prompt.cache.dispose()
    expect(kernels.heap.live).toBe(before)
  })

  it('is not for policies that change how it is read', async () => {
    const chunked = registry.policy('keydiff(budget=10%) + trigger(chunk=64)')
    const recorded = new RecordedPrompt(model.shape, [chunked], createKernels())
    await expect(recorded.replay(chunked)).rejects.toThrow(UnsupportedPolicyError)
    await recorded.cache.dispose()
  })
})
