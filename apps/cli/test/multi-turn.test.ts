import { fileURLToPath } from 'node:url'
import { needles, Pool, PromptWriter, TASK_TEXT } from '@kvfold/eval'
import { heldOutDocuments } from '@kvfold/eval/node'
import { createKernels, type Kernels } from '@kvfold/kernels'
import { compose, createRandom, describeParams, KvCache, type Method, type Policy } from '@kvfold/kv-core'
import { argmax, type LlamaModel, type Tokenizer } from '@kvfold/models'
import { loadModel } from '@kvfold/models/node'
import { modelUrl } from '@kvfold/reference-model'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { registry } from '../src/registry.ts'

const CONTEXT = 500
const MORE = 200
const ANSWER = 10

// Small enough to matter in ten steps and in a short context. What is not listed keeps its default.
const SMALL: Record<string, unknown> = { window: 8, chunk: 256 }

const methods = registry
  .list()
  .map(({ method }) => method)
  .filter((method) => 'budget' in method.params.shape)

function policyOf(method: Method, budget: number | string): Policy {
  const known = new Set(describeParams(method).map(({ name }) => name))
  return compose(method({ ...Object.fromEntries(Object.entries(SMALL).filter(([name]) => known.has(name))), budget }))
}

/** What was said: tokens, and the logits that each was drawn from. */
interface Said {
  tokens: number[]
  logits: Float32Array[]
}

/**
 * A context with two facts, text that is added later with a third, and a question about each in the
 * order in which they are asked: about the context, about what was added, about the context again.
 */
interface Conversation {
  context: number[]
  more: number[]
  questions: number[][]
  references: string[]
}

let model: LlamaModel, tokenizer: Tokenizer, kernels: Kernels, conversation: Conversation, full: Said[]

beforeAll(async () => {
  const loaded = await loadModel(fileURLToPath(modelUrl))
  model = loaded.model
  tokenizer = loaded.tokenizer!
  kernels = createKernels()
  conversation = await write()
  const cache = new KvCache(model.shape, { kernels })
  full = await talkOver(cache, conversation)
  await cache.dispose()
})

afterAll(() => model.dispose())

async function write(): Promise<Conversation> {
  const writer = new PromptWriter(TASK_TEXT, tokenizer, await heldOutDocuments())
  const pool = new Pool(TASK_TEXT, createRandom(1))
  const { facts, questions, maxNewTokens } = needles(TASK_TEXT, pool, 'needle-number', 3)
  const context = writer.document({ facts: facts.slice(0, 2), questions, maxNewTokens }, CONTEXT, pool)
  const more = writer.document({ facts: facts.slice(2), questions, maxNewTokens }, MORE + 1, pool)
  const asked = [questions[0], questions[2], questions[1]]
  return {
    context,
    // Without the token that only begins a text.
    more: more.slice(1),
    questions: asked.map(({ prompt }) => writer.encode(prompt)),
    references: asked.map(({ references }) => references[0]),
  }
}

/** Told of every call of the model: the length when the last part was read, and the tokens decoded since. */
type Watcher = (read: number, decoded: number) => void

/** One conversation with the model over one cache. */
class Talk {
  private readonly cache: KvCache
  private readonly watch: Watcher
  private read = 0

  constructor(cache: KvCache, watch: Watcher = () => {}) {
    this.cache = cache
    this.watch = watch
  }

  async hear(tokens: number[]): Promise<Float32Array> {
    const logits = await model.forward(tokens, this.cache)
    this.read = this.cache.length
    this.watch(this.read, 0)
    return logits
  }

  /** The greedy answer, and how the text goes on after it: always as many tokens. All of them are in the cache then. */
  async ask(question: number[]): Promise<Said> {
    const said: Said = { tokens: [], logits: [] }
    let logits = await this.hear(question)
    while (said.tokens.length < ANSWER) {
      said.tokens.push(argmax(logits))
      said.logits.push(logits)
      logits = await model.forward([said.tokens.at(-1)!], this.cache)
      this.watch(this.read, said.tokens.length)
    }
    return said
  }
}

async function talkOver(cache: KvCache, { context, more, questions }: Conversation): Promise<Said[]> {
  const talk = new Talk(cache)
  await talk.hear(context)
  const first = await talk.ask(questions[0])
  await talk.hear(more)
  return [first, await talk.ask(questions[1]), await talk.ask(questions[2])]
}

/** Largest difference of logits over the largest logit. */
function distance(a: Pick<Said, 'logits'>, b: Pick<Said, 'logits'>): number {
  let worst = 0,
    scale = 0
  a.logits.forEach((row, i) =>
    row.forEach((value, j) => {
      worst = Math.max(worst, Math.abs(value - b.logits[i][j]))
      scale = Math.max(scale, Math.abs(value))
    }),
  )
  return worst / scale
}

/** Bytes in the kernels' heap that the ledger knows of. */
function inHeap(cache: KvCache): number {
  const { payload, scales, indices, scratch } = cache.ledger()
  return payload + scales + indices + scratch
}

/** Rows of a policy that keeps half of what was read: generated rows come on top, until the next cut. */
function checkRows(cache: KvCache, read: number, decoded: number): void {
  const { score, trigger } = cache.policy
  const since = score!.moments?.includes('decode') ? Math.min(decoded, (trigger?.every ?? 1) - 1) : decoded
  const heads = model.shape.layers * model.shape.kvHeads
  expect(cache.ledger().rows).toBeLessThanOrEqual((Math.floor(read / 2) + since) * heads)
}

/** Follows every plan: each head held what the one before had left, with its positions, and all that came since. */
function checkPositions(cache: KvCache): void {
  const { layers, kvHeads } = model.shape
  let rows = 0
  for (let layer = 0; layer < layers; layer++) {
    const own = cache.trace!.plans.filter((plan) => plan.layer === layer)
    for (let head = 0; head < kvHeads; head++) {
      let left: number[] = [],
        next = 0
      for (const { positions, heads } of own) {
        const held = Array.from(positions[head])
        const added = held.length - left.length
        expect(held).toEqual([...left, ...Array.from({ length: added }, (_, i) => next + i)])
        next += added
        left = Array.from(heads[head].keep, (row) => held[row])
      }
      rows += left.length + cache.length - next
    }
  }
  expect(cache.ledger().rows).toBe(rows)
  expect(cache.position).toBe(cache.length)
}

it('the full cache answers all questions', () => {
  full.forEach(({ tokens }, i) => expect(tokenizer.decode(tokens).startsWith(conversation.references[i])).toBe(true))
})

describe('a budget that is never reached answers as the full cache does', () => {
  it.each(methods.map((method) => [method.name, method] as const))('%s', async (_, method) => {
    const before = kernels.heap.live
    const cache = new KvCache(model.shape, { policy: policyOf(method, 100_000), kernels })
    const answers = await talkOver(cache, conversation)
    answers.forEach((said, i) => {
      expect(said.tokens).toEqual(full[i].tokens)
      expect(distance(full[i], said)).toBeLessThan(1e-4)
    })
    await cache.dispose()
    expect(kernels.heap.live).toBe(before)
  })
})

describe('half of the rows: budget, bytes, positions and forks hold in every turn', () => {
  it.each(methods.map((method) => [method.name, method] as const))('%s', async (_, method) => {
    const { context, more, questions } = conversation
    const before = kernels.heap.live
    const cache = new KvCache(model.shape, { policy: policyOf(method, '50%'), kernels, trace: true })
    let forks: KvCache[] = []
    const talk = new Talk(cache, (read, decoded) => {
      expect(cache.length).toBe(read + decoded)
      checkRows(cache, read, decoded)
      // Pages that several hold lie there once.
      const each = [cache, ...forks].map(inHeap)
      const live = kernels.heap.live - before
      expect(live).toBeGreaterThanOrEqual(Math.max(...each))
      expect(live).toBeLessThanOrEqual(each.reduce((a, b) => a + b))
      if (forks.length === 1 && decoded === ANSWER / 2) forks.push(cache.fork())
    })

    await talk.hear(context)
    forks.push(cache.fork())
    const ledgers = [forks[0].ledger()]
    const first = await talk.ask(questions[0])
    ledgers.push(forks[1].ledger())
    await talk.hear(more)
    await talk.ask(questions[1])
    expect(cache.length).toBe(context.length + more.length + questions[0].length + questions[1].length + 2 * ANSWER)
    for (const [i, fork] of forks.entries()) expect({ ...fork.ledger(), peakBytes: 0 }).toEqual({ ...ledgers[i], peakBytes: 0 })

    const again = await new Talk(forks[0]).ask(questions[0])
    expect(again.tokens).toEqual(first.tokens)
    expect(distance(first, again)).toBeLessThan(1e-6)
    expect(forks[0].length).toBe(context.length + questions[0].length + ANSWER)
    // The other one was made in the middle of the answer, and ends it the same way.
    const rest: Float32Array[] = []
    for (const token of first.tokens.slice(ANSWER / 2, -1)) rest.push(await model.forward([token], forks[1]))
    expect(distance({ logits: first.logits.slice(ANSWER / 2 + 1) }, { logits: rest })).toBeLessThan(1e-6)
    for (const fork of forks) await fork.dispose()
    forks = []

    await talk.ask(questions[2])
    checkPositions(cache)
    await cache.dispose()
    expect(kernels.heap.live).toBe(before)
  })
})
