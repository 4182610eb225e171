import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Loaded, OpenServer, ServerOptions } from '../src/index.ts'
import { chat, document, held, load, MB, open, post, QUESTION, type Answer } from './server.ts'

let loaded: Loaded, server: OpenServer, folder: string, before: ReturnType<typeof held>
beforeAll(async () => {
  loaded = await load()
})
afterAll(() => loaded.model.dispose())
beforeEach(async () => {
  before = held(loaded)
  folder = mkdtempSync(join(tmpdir(), 'kvfold-test-'))
  server = await open(loaded, { sessions: folder })
})
afterEach(async () => {
  await server.close(0)
  expect(held(loaded)).toEqual(before)
  rmSync(folder, { recursive: true })
})

const policy = 'keydiff(budget=50%) + kivi(bits=4, residual=32)'
const files = (): string[] => readdirSync(folder).sort()
/** Reads a document. */
const tell = async (session: string, more: object = {}): Promise<Answer & { status: number }> =>
  chat(server, { session, messages: [{ role: 'system', content: document(12) }], max_tokens: 0, kv_policy: policy, ...more })
const ask = async (session: string, question: string = QUESTION, more: object = {}): Promise<Answer & { status: number }> =>
  chat(server, { session, messages: [{ role: 'user', content: question }], max_tokens: 30, ...more })
/** As a server that was killed, and one that comes after it. */
const restart = async (more: Partial<ServerOptions> = {}): Promise<void> => {
  await server.close(0)
  server = await open(loaded, { sessions: folder, ...more })
}

it('goes on with what it read, under its policy', async () => {
  const told = await tell('a')
  const first = await ask('a')
  expect(first.choices[0].message.content).toContain('4821375')
  expect(first.kv.policy).toBe(policy)
  expect(first.usage.prompt_tokens_details.cached_tokens).toBe(told.usage.prompt_tokens)
  expect(first.kv.bytes).toBeLessThan(first.kv.fullF32Bytes / 4)
  const second = await ask('a', 'What is the magic number of quiet harbor?')
  expect(second.choices[0].message.content).toContain('4821375')
  // All that was read and made before, but for a last token that was made and not read.
  const all = first.usage.prompt_tokens + first.usage.completion_tokens
  expect([all, all - 1]).toContain(second.usage.prompt_tokens_details.cached_tokens)
})

it('is the same as one conversation in two requests, without a policy', async () => {
  await tell('a', { kv_policy: 'full' })
  const inSession = await ask('a')
  const whole = await chat(server, {
    messages: [
      { role: 'system', content: document(12) },
      { role: 'user', content: QUESTION },
    ],
    max_tokens: 30,
  })
  expect(inSession.choices).toEqual(whole.choices)
  expect(inSession.usage.prompt_tokens).toBe(whole.usage.prompt_tokens)
})

it('reads the last token that it made, with what comes next', async () => {
  const complete = async (prompt: string): Promise<Answer> =>
    (await post(server, '/v1/completions', { prompt, max_tokens: 5, session: 'a', stop: ['\u0000'] })).json() as Promise<Answer>
  const first = await complete('Once upon a time')
  const second = await complete(' there was')
  const more = loaded.tokenizer.encode(' there was', { special: false }).length
  expect(second.usage.prompt_tokens).toBe(first.usage.prompt_tokens + 5 + more)
  expect(second.usage.prompt_tokens_details.cached_tokens).toBe(first.usage.prompt_tokens + 4)
})

it('keeps its policy', async () => {
  await tell('a')
  expect(await ask('a', QUESTION, { kv_policy: 'full' })).toMatchObject({ status: 400, error: { param: 'kv_policy' } })
  expect((await ask('a', QUESTION, { kv_policy: policy })).status).toBe(200)
})

it('takes one turn at a time', async () => {
  await tell('a')
  const [one, two] = await Promise.all([ask('a'), ask('a')])
  expect(new Set([one.status, two.status])).toEqual(new Set([200, 409]))
  expect((await ask('a')).status).toBe(200)
})

it('is as it was after a turn that failed', async () => {
  await tell('a')
  const { bytes } = server.engine.shared.sessions.list()[0]
  expect((await chat(server, { session: 'a', messages: [{ role: 'user', content: 'ship '.repeat(9000) }] })).status).toBe(400)
  const leaving = new AbortController()
  const response = server.app.request('/v1/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ session: 'a', prompt: document(30), max_tokens: 30 }),
    signal: leaving.signal,
  })
  setTimeout(() => leaving.abort(), 30)
  expect((await response).status).toBe(408)
  expect(server.engine.shared.sessions.list()[0].bytes).toBe(bytes)
  expect((await ask('a')).choices[0].message.content).toContain('4821375')
})

describe('on the disk', () => {
  it('goes on as if it had stayed', async () => {
    await tell('a')
    await tell('b')
    const stayed = await ask('a')
    const { sessions, budget } = server.engine.shared
    await sessions.moveIdle(Date.now() + 61_000)
    expect([sessions.inMemory, sessions.onDisk]).toEqual([0, 2])
    expect(files()).toHaveLength(2)
    expect(sessions.fileBytes).toBe(files().reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0))
    const came = await ask('b')
    expect(came.choices).toEqual(stayed.choices)
    expect(came.kv.rows).toBe(stayed.kv.rows)
    expect([sessions.inMemory, sessions.onDisk]).toEqual([1, 1])
    expect(files()).toHaveLength(1)
    expect(budget.reserved).toBe(0)
  })

  it('makes room for others', async () => {
    await restart({ budget: 7 * MB })
    for (const id of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])
      expect((await tell(id, { messages: [{ role: 'system', content: `Log ${id}. ${document(12)}` }] })).status).toBe(200)
    const { sessions, budget } = server.engine.shared
    expect(sessions.onDisk).toBeGreaterThan(0)
    expect(budget.held).toBeLessThan(7 * MB)
    expect((await ask('a')).choices[0].message.content).toContain('4821375')
  })

  it('is there after a restart', async () => {
    await tell('a')
    await restart()
    expect(server.engine.shared.sessions.onDisk).toBe(1)
    const { choices, usage } = await ask('a')
    expect(choices[0].message.content).toContain('4821375')
    expect(usage.prompt_tokens_details.cached_tokens).toBeGreaterThan(300)
  })

  it('is given up when the disk is full, and says so', async () => {
    await restart({ disk: 1 * MB })
    for (const id of ['a', 'b', 'c', 'd']) await tell(id)
    await server.engine.shared.sessions.moveIdle(Date.now() + 61_000)
    expect(server.engine.shared.sessions.fileBytes).toBeLessThan(1 * MB)
    expect(await ask('a')).toMatchObject({ status: 410, error: { code: 'session_lost' } })
    expect((await ask('d')).status).toBe(200)
  })
})

describe('after a kill', () => {
  it('a file that was half written is removed', async () => {
    await tell('a')
    await server.close(0)
    const [name] = files()
    const whole = readFileSync(join(folder, name))
    rmSync(join(folder, name))
    writeFileSync(join(folder, `${name}.4711.tmp`), whole.subarray(0, whole.length / 2))
    writeFileSync(join(folder, 'mine.txt'), 'not a session')
    server = await open(loaded, { sessions: folder })
    expect(files()).toEqual(['mine.txt'])
    expect(server.engine.shared.sessions.onDisk).toBe(0)
  })

  it.each([0, 0.001, 0.3, 0.999])('a flipped byte at %f of a file is never served', async (at) => {
    await tell('a')
    await server.close(0)
    const file = join(folder, files()[0])
    const bytes = readFileSync(file)
    bytes[Math.floor(at * bytes.length)] ^= 4
    writeFileSync(file, bytes)
    server = await open(loaded, { sessions: folder })
    if (server.engine.shared.sessions.onDisk > 0) expect(await ask('a')).toMatchObject({ status: 410, error: { code: 'session_lost' } })
    expect(files()).toEqual([])
    expect(server.engine.shared.sessions.inMemory).toBe(0)
    expect(server.engine.shared.budget.reserved).toBe(0)
  })

  it('a file that was cut short is never served', async () => {
    await tell('a')
    await server.close(0)
    const file = join(folder, files()[0])
    writeFileSync(file, readFileSync(file).subarray(0, -1))
    server = await open(loaded, { sessions: folder })
    expect(files()).toEqual([])
  })
})

it('completions go on too', async () => {
  const complete = async (prompt: string, max_tokens: number): Promise<Answer> =>
    (await post(server, '/v1/completions', { prompt, max_tokens, session: 'c', stop: '\n' })).json() as Promise<Answer>
  await complete(document(6), 0)
  const { choices } = await complete(`\n\nQuestion: ${QUESTION}\nAnswer:`, 30)
  expect(choices[0].text).toContain('4821375')
})
