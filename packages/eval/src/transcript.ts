import { compose, isReplayable, KvCache, RecordedPrompt, type Ledger, type Policy } from '@kvfold/kv-core'
import type { Kernels } from '@kvfold/kernels'
import { argmax, type LlamaModel } from '@kvfold/models'
import { klDivergence, logSoftmax } from './metrics.ts'
import type { Prompt } from './prompt-writer.ts'

/** Runs one model under different policies. */
export interface Runner {
  model: LlamaModel
  kernels: Kernels
  /** The policy sees the question before it compresses. Otherwise the context is compressed first, and the question comes after. */
  questionAware: boolean
  signal?: AbortSignal
}

/** What the full cache said: the tokens, and the log-probabilities that each was drawn from. */
export interface Transcript {
  tokens: number[]
  logProbs: Float64Array[]
}

/** A prompt that was read once, for all policies that read it alike. */
export interface Recording {
  prompt: RecordedPrompt
  /** After its last token. */
  logits: Float32Array
}

/** Reads a prompt for `policies`, and for the full cache. Dispose `prompt.cache` when they are done. */
export async function record(runner: Runner, policies: readonly Policy[], prompt: Prompt): Promise<Recording> {
  const recorded = new RecordedPrompt(runner.model.shape, policies, runner.kernels, runner.model)
  try {
    const [first] = partsOf(runner, prompt)
    return { prompt: recorded, logits: await runner.model.forward(first, recorded.cache, { signal: runner.signal }) }
  } catch (error) {
    await recorded.cache.dispose()
    throw error
  }
}

/** What one cache cost, after its last token. */
export interface Cost {
  ledger: Ledger
  /** Undefined if it took the prompt from a recording. */
  prefillMs: number | undefined
  decodeMsPerToken: number
}

/** How a policy did along a transcript, and what it would have said itself. */
export interface Comparison extends Cost {
  tokens: number[]
  /** Mean over the transcript's tokens: KL(full || policy) in nats, share of equal first choices, negative log-likelihood. */
  kld: number
  top1Agreement: number
  loss: number
}

/** Greedy answer of the full cache: at most `maxTokens`, with the stop token if there was one. Or, with `text`, what it says of a given text. */
export async function transcribe(
  runner: Runner,
  prompt: Prompt,
  maxTokens: number,
  text?: readonly number[],
  recording?: Recording,
): Promise<Transcript & Cost & { loss: number }> {
  const { model } = runner
  const transcript: Transcript = { tokens: [], logProbs: [] }
  const cost = await withCache(runner, compose(), prompt, recording, async (logits, step) => {
    for (let i = 0; ; i++) {
      const token = text ? text[i] : argmax(logits)
      transcript.tokens.push(token)
      transcript.logProbs.push(logSoftmax(logits))
      if (transcript.tokens.length === (text?.length ?? maxTokens) || (!text && model.config.eos.includes(token))) return
      logits = await step(token)
    }
  })
  return { ...transcript, ...cost, loss: loss(transcript.logProbs, transcript.tokens) }
}

/** Follows a transcript token by token under a policy; where the policy's own first choice leaves it, a fork goes on alone. */
export async function follow(
  runner: Runner,
  policy: Policy,
  prompt: Prompt,
  transcript: Transcript,
  recording?: Recording,
): Promise<Comparison> {
  const logProbs: Float64Array[] = []
  let own: number[] | undefined
  let agreements = 0,
    divergence = 0
  const cost = await withCache(runner, policy, prompt, recording, async (logits, step, fork) => {
    for (const [i, token] of transcript.tokens.entries()) {
      const mine = logSoftmax(logits)
      logProbs.push(mine)
      divergence += klDivergence(transcript.logProbs[i], mine)
      const choice = argmax(logits),
        expected = argmax(transcript.logProbs[i])
      if (choice === expected) agreements++
      else own ??= [...transcript.tokens.slice(0, i), ...(await alone(runner, fork, choice, transcript.tokens.length - i))]
      if (i + 1 < transcript.tokens.length) logits = await step(token)
    }
  })
  const count = transcript.tokens.length
  return {
    ...cost,
    tokens: own ?? transcript.tokens,
    kld: divergence / count,
    top1Agreement: agreements / count,
    loss: loss(logProbs, transcript.tokens),
  }
}

async function alone({ model, signal }: Runner, fork: () => KvCache, first: number, maxTokens: number): Promise<number[]> {
  const cache = fork()
  const tokens = [first]
  try {
    while (tokens.length < maxTokens && !model.config.eos.includes(tokens.at(-1)!))
      tokens.push(argmax(await model.forward([tokens.at(-1)!], cache, { signal })))
  } finally {
    await cache.dispose()
  }
  return tokens
}

type Steps = (logits: Float32Array, step: (token: number) => Promise<Float32Array>, fork: () => KvCache) => Promise<void>

/** What is read before the policy compresses, then what comes after. */
function partsOf({ questionAware }: Runner, { context, question }: Prompt): number[][] {
  return questionAware || question.length === 0 ? [[...context, ...question]] : [context, question]
}

async function withCache(runner: Runner, policy: Policy, prompt: Prompt, recording: Recording | undefined, steps: Steps): Promise<Cost> {
  const { model, kernels, signal } = runner
  const taken = recording && isReplayable(policy) ? recording : undefined
  const cache = taken ? await taken.prompt.replay(policy) : new KvCache(model.shape, { policy, kernels, model })
  try {
    const [first, ...others] = partsOf(runner, prompt)
    const start = performance.now()
    let logits = taken ? taken.logits : await model.forward(first, cache, { signal, logits: others.length ? 'none' : 'last' })
    for (const part of others) logits = await model.forward(part, cache, { signal })
    const prefillMs = taken ? undefined : performance.now() - start
    let decoded = 0,
      decodeMs = 0
    const step = async (token: number): Promise<Float32Array> => {
      const began = performance.now()
      const next = await model.forward([token], cache, { signal })
      decodeMs += performance.now() - began
      decoded++
      return next
    }
    await steps(logits, step, () => cache.fork())
    return { ledger: cache.ledger(), prefillMs, decodeMsPerToken: decoded ? decodeMs / decoded : 0 }
  } finally {
    await cache.dispose()
  }
}

function loss(logProbs: readonly Float64Array[], tokens: readonly number[]): number {
  return -tokens.reduce((sum, token, i) => sum + logProbs[i][token], 0) / tokens.length
}
