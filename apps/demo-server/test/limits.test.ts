import { setTimeout } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Loaded, OpenServer } from '../src/index.ts'
import { asked, chat, document, held, load, MB, open, post } from './server.ts'

let loaded: Loaded, server: OpenServer, before: ReturnType<typeof held>
beforeAll(async () => {
  loaded = await load()
})
afterAll(() => loaded.model.dispose())
beforeEach(() => {
  before = held(loaded)
})
afterEach(async () => {
  await server.close(0)
  expect(held(loaded)).toEqual(before)
})

describe('the budget', () => {
  it('refuses what does not fit now, and says when to come again', async () => {
    server = await open(loaded, { budget: 14 * MB })
    const ask = async (i: number): Promise<Response> =>
      post(server, '/v1/chat/completions', { messages: asked(document(20, `ship ${i}`)), max_tokens: 8 })
    const responses = await Promise.all([0, 1, 2, 3].map(ask))
    const statuses = responses.map(({ status }) => status)
    expect(statuses).toContain(200)
    expect(statuses).toContain(429)
    const refused = responses.find(({ status }) => status === 429)!
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    expect(await refused.json()).toMatchObject({ error: { type: 'rate_limit_error', code: 'memory_full' } })
    // There is room again: what is held of old prompts gives way.
    for (let i = 4; i < 8; i++) expect((await ask(i)).status).toBe(200)
  })

  it('gives up nothing for a request that is refused all the same', async () => {
    server = await open(loaded, { budget: 30 * MB })
    const { prefixes } = server.engine.shared
    await chat(server, { messages: asked(document(10)), max_tokens: 1 })
    const before = prefixes.size
    const long = post(server, '/v1/chat/completions', {
      messages: asked(document(60, 'far ship')),
      max_tokens: 1,
      kv_policy: 'kivi(bits=4)',
    })
    await setTimeout(20)
    expect((await chat(server, { messages: asked(document(55, 'near ship')), max_tokens: 1 })).status).toBe(429)
    expect(prefixes.size).toBe(before)
    expect((await long).status).toBe(200)
  })

  it('is never exceeded', async () => {
    const budget = 20 * MB
    server = await open(loaded, { budget })
    const own = server.engine.shared.budget
    let most = 0
    let done = false
    const watch = (async () => {
      while (!done) {
        most = Math.max(most, own.held)
        expect(own.held + own.reserved).toBeLessThanOrEqual(budget)
        await setTimeout(1)
      }
    })()
    const policies = ['full', 'kivi(bits=8)', 'h2o(budget=90%)', 'snapkv(budget=64) + kivi(bits=2)']
    const statuses = await Promise.all(
      Array.from({ length: 16 }, async (_, i) => {
        await setTimeout(i * 40)
        const messages = asked(document(10 + i, `ship ${i % 5}`))
        return (await chat(server, { messages, max_tokens: 12, kv_policy: policies[i % 4], session: i % 3 ? undefined : `s${i}` })).status
      }),
    )
    done = true
    await watch
    expect(statuses.every((status) => status === 200 || status === 429)).toBe(true)
    expect(statuses).toContain(200)
    expect(most).toBeGreaterThan(budget / 4)
  })

  it('says at once what it will never hold', async () => {
    server = await open(loaded, { budget: 3 * MB })
    expect(await chat(server, { messages: asked(document(20)), max_tokens: 8 })).toMatchObject({
      status: 400,
      error: { code: 'context_length_exceeded' },
    })
  })
})

describe('a client that leaves', () => {
  const leave = async (body: object, when: (piece: string) => boolean): Promise<void> => {
    const leaving = new AbortController()
    const response = await server.app.request('/v1/chat/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...body, stream: true }),
      signal: leaving.signal,
    })
    const reader = response.body!.getReader()
    for (;;) {
      const { value, done } = await reader.read()
      if (done) throw new Error('The stream ended first.')
      if (when(new TextDecoder().decode(value))) break
    }
    await reader.cancel()
  }
  const freed = async (): Promise<void> => {
    for (let i = 0; i < 200 && server.engine.running > 0; i++) await setTimeout(10)
    expect(server.engine.running).toBe(0)
    expect(server.engine.shared.budget.reserved).toBe(0)
  }

  it('frees its memory, in the middle of an answer', async () => {
    server = await open(loaded)
    await leave({ messages: asked(document(5)), max_tokens: 200, kv_policy: 'h2o(budget=50%)' }, (piece) => piece.includes('magic'))
    await freed()
  })

  it('frees its memory, in the middle of its prompt', async () => {
    server = await open(loaded)
    const { prefixes } = server.engine.shared
    await leave({ messages: asked(document(100)), max_tokens: 200, kv_policy: 'kivi(bits=4)' }, (piece) => piece.includes('assistant'))
    const start = performance.now()
    await freed()
    // It did not read on: the whole prompt takes far longer, and would have left a snapshot.
    expect(prefixes.size).toBe(0)
    expect(performance.now() - start).toBeLessThan(2000)
    expect(held(loaded).bytes).toBe(before.bytes)
  })
})

describe('a server that stops', () => {
  it('lets answers end', async () => {
    server = await open(loaded)
    const answer = chat(server, { messages: asked(document(5)), max_tokens: 20 })
    await setTimeout(20)
    await server.close(5000)
    expect((await answer).choices[0].message.content).toContain('4821375')
  })

  it('cuts them off when they take too long', async () => {
    server = await open(loaded)
    const answer = chat(server, { messages: asked(document(100)), max_tokens: 200 })
    await setTimeout(20)
    await server.close(50)
    expect(await answer).toMatchObject({ status: 503, error: { code: 'stopping' } })
  })
})
