import { fileURLToPath } from 'node:url'
import { createKernels } from '@kvfold/kernels'
import { CacheHistory } from '@kvfold/kv-core/history'
import { loadModel } from '@kvfold/models/node'
import { modelUrl } from '@kvfold/reference-model'
import { memory } from '@tensorflow/tfjs-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Ask, EngineEvent } from '../src/engine/engine.ts'
import { answerBoth, type Desk } from '../src/worker/ask.ts'
import { KeptCaches } from '../src/worker/kept-caches.ts'
import { saveCache } from '../src/worker/save.ts'
import { DOCUMENT, NUMBER, QUESTION } from './playground.ts'

const ASK: Ask = {
  source: { kind: 'text', text: DOCUMENT },
  question: QUESTION,
  policy: 'keydiff(budget=75%) + kivi(bits=4, residual=32)',
  aware: false,
}

describe('what the worker does', () => {
  let desk: Desk
  beforeAll(async () => {
    const { model, tokenizer } = await loadModel(fileURLToPath(modelUrl))
    const loaded = { model, tokenizer: tokenizer!, kernels: createKernels() }
    desk = { loaded, kept: new KeptCaches(loaded) }
  })
  afterAll(() => desk.loaded.model.dispose())

  async function ask(ask: Ask, signal: AbortSignal = new AbortController().signal): Promise<EngineEvent[]> {
    const events: EngineEvent[] = []
    await answerBoth(desk, ask, (event) => events.push(event), signal)
    return events
  }

  const held = (): object => ({ bytes: desk.loaded.kernels.heap.live, tensors: memory().numTensors })
  const textOf = (events: EngineEvent[], side: string): string =>
    events.map((event) => (event.type === 'token' && event.side === side ? event.text : '')).join('')

  it('gives tokens of both sides in turns, and their history', async () => {
    const events = await ask(ASK)
    expect(textOf(events, 'full')).toContain(NUMBER)
    expect(textOf(events, 'small')).toContain(NUMBER)
    const sides = events.filter(({ type }) => type === 'token').map(({ side }) => side)
    expect(sides.slice(0, 4)).toEqual(['full', 'small', 'full', 'small'])
    const done = events.find((event) => event.type === 'done' && event.side === 'small')
    if (done?.type !== 'done') throw new Error('It did not end.')
    const history = CacheHistory.from(done.kept!.history)
    // The document, the question, and a token each; the last one is not in the cache.
    expect(history.frames).toHaveLength(
      1 + done.stats.newTokens + (history.frames.at(-1)!.tokens === done.stats.promptTokens + done.stats.newTokens ? 1 : 0),
    )
    expect(history.frames[0].tokens).toBe(done.kept!.documentTokens)
    expect(done.kept!.pieces.slice(0, done.kept!.documentTokens).join('')).toBe(`<|bos|>${DOCUMENT}`)
    expect(history.frames.at(-1)!.ledger.bytes).toBe(done.stats.bytes)
  })

  // Whatever looks at more than keys and values: the model's maps, its calibration, its retaining heads, the prompt a second time.
  it.each([
    'kvzip(budget=75%)',
    'locret(budget=75%)',
    'kvquant',
    'xquant(bits=8)',
    'flexprefill',
    'd2o + keydiff(budget=75%)',
    'streaming(contiguous=true)',
  ])('answers under %s', async (policy) => {
    const events = await ask({ ...ASK, policy })
    expect(textOf(events, 'full')).toContain(NUMBER)
    expect(textOf(events, 'small')).not.toBe('')
    expect(events.at(-1)!.type).toBe('done')
  })

  it('leaves nothing behind, however a question ends', async () => {
    await ask(ASK)
    const before = held()
    await ask(ASK)
    expect(held()).toEqual(before)
    await ask({ ...ASK, aware: true })
    expect(held()).toEqual(before)
    for (const [at, asked] of [
      ['token', ASK],
      ['reading', { ...ASK, aware: true }],
      ['reading', { ...ASK, policy: 'kivi' }],
    ] as const) {
      const abortion = new AbortController()
      const stopped = answerBoth(desk, asked, ({ type, side }) => side === 'small' && type === at && abortion.abort(), abortion.signal)
      await expect(stopped).rejects.toThrow(/abort/i)
      await ask(ASK)
      expect(held()).toEqual(before)
    }
    await expect(ask({ ...ASK, question: 'why '.repeat(9000) })).rejects.toThrow(/positions/)
    expect(held()).toEqual(before)
  })

  it('goes on from a file as from the document', async () => {
    const signal = new AbortController().signal
    const bytes = await saveCache(desk, ASK, true, () => {}, signal)
    const file = await desk.kept.open(new File([bytes], 'document.kv'))
    const events = await ask({ ...ASK, source: { kind: 'file', file } })
    expect(textOf(events, 'small')).toBe(textOf(await ask(ASK), 'small'))
    expect(textOf(events, 'full')).toBe('')
  })
})
