import { connect } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import OpenAI, { APIError, RateLimitError } from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serve, type Loaded, type Serving } from '../src/index.ts'
import { document, held, load, log, MB, QUESTION, registry } from './server.ts'

let loaded: Loaded, server: Serving, client: OpenAI, before: ReturnType<typeof held>
const start = async (budget: number): Promise<Serving> =>
  serve({ ...loaded, registry, log, budget, disk: 100 * MB, maxTokens: 300, port: 0, host: '127.0.0.1', apiKey: 'secret' })
beforeAll(async () => {
  loaded = await load()
  before = held(loaded)
  server = await start(200 * MB)
  client = new OpenAI({ apiKey: 'secret', baseURL: `${server.url}/v1`, maxRetries: 0 })
})
afterAll(async () => {
  await server.close()
  expect(held(loaded)).toEqual(before)
  loaded.model.dispose()
})

const messages = (paragraphs: number): OpenAI.ChatCompletionMessageParam[] => [
  { role: 'system', content: document(paragraphs) },
  { role: 'user', content: QUESTION },
]

describe("OpenAI's client", () => {
  it('lists models', async () => {
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['reference'])
  })

  it('chats', async () => {
    const answer = await client.chat.completions.create({ model: 'reference', messages: messages(5), max_completion_tokens: 30 })
    expect(answer.choices[0].message.content).toContain('4821375')
    expect(answer.usage!.total_tokens).toBe(answer.usage!.prompt_tokens + answer.usage!.completion_tokens)
  })

  it('streams, under a policy', async () => {
    const body = { kv_policy: 'kivi(bits=4, residual=32)' }
    const stream = await client.chat.completions.create({
      model: 'reference',
      messages: messages(5),
      max_tokens: 30,
      stream: true,
      stream_options: { include_usage: true },
      ...body,
    })
    let text = '',
      last: OpenAI.ChatCompletionChunk | undefined
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      last = chunk
    }
    expect(text).toContain('4821375')
    expect(last!.usage!.completion_tokens).toBeGreaterThan(5)
    expect((last as unknown as { kv: { policy: string } }).kv.policy).toBe(body.kv_policy)
  })

  it('puts a stream together', async () => {
    const answer = await client.chat.completions.stream({ model: 'reference', messages: messages(5), max_tokens: 30 }).finalChatCompletion()
    expect(answer.choices[0].message.content).toContain('4821375')
  })

  it('completes', async () => {
    const prompt = `${document(5)}\n\nQuestion: ${QUESTION}\nAnswer:`
    const answer = await client.completions.create({ model: 'reference', prompt, max_tokens: 30 })
    expect(answer.choices[0].text).toContain('4821375')
  })

  it('understands refusals', async () => {
    const wrong = client.chat.completions.create({ model: 'reference', messages: messages(1), temperature: 9 })
    await expect(wrong).rejects.toMatchObject({ status: 400, param: 'temperature', type: 'invalid_request_error' })
    await expect(wrong).rejects.toBeInstanceOf(APIError)
    const stranger = new OpenAI({ apiKey: 'wrong', baseURL: `${server.url}/v1`, maxRetries: 0 })
    await expect(stranger.models.list()).rejects.toMatchObject({ status: 401 })
  })

  it('comes again when there is room', async () => {
    const small = await start(14 * MB)
    const options = { apiKey: 'secret', baseURL: `${small.url}/v1` }
    const ask = async (client: OpenAI): Promise<unknown> =>
      client.chat.completions.create({ model: 'reference', messages: messages(20), max_tokens: 8 })
    const first = ask(new OpenAI({ ...options, maxRetries: 0 }))
    await setTimeout(20)
    await Promise.all([
      ask(new OpenAI({ ...options, maxRetries: 0 })).catch((error: unknown) => expect(error).toBeInstanceOf(RateLimitError)),
      first,
    ])
    expect(await Promise.all([1, 2, 3].map(() => ask(new OpenAI({ ...options, maxRetries: 5 }))))).toHaveLength(3)
    await small.close()
  })
})

const post = (path: string, body: string, more = ''): string =>
  `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\ncontent-type: application/json\r\n${more}content-length: ${body.length}\r\n\r\n${body}`

/** What a server says to these bytes, until it or the client has enough. */
async function raw(text: string, milliseconds: number): Promise<string> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  let heard = ''
  socket.on('data', (bytes) => (heard += bytes.toString()))
  socket.on('error', () => {})
  socket.write(text)
  await setTimeout(milliseconds)
  socket.destroy()
  return heard
}

const status = async (path: string): Promise<number> => (await fetch(server.url + path)).status
const running = async (): Promise<number> => ((await (await fetch(`${server.url}/healthz`)).json()) as { running: number }).running

describe('on the wire', () => {
  it('a client that leaves is noticed, in a stream and without one', async () => {
    for (const stream of [true, false]) {
      const body = JSON.stringify({ prompt: document(60), max_tokens: 300, stream })
      const heard = raw(post('/v1/completions', body), 300)
      await setTimeout(200)
      expect(await running()).toBe(1)
      await heard
      for (let i = 0; i < 100 && (await running()) > 0; i++) await setTimeout(20)
      expect(await running()).toBe(0)
    }
  })

  it('nonsense is refused, and the server lives', async () => {
    expect(await raw('nonsense\r\n\r\n', 100)).toMatch(/^HTTP\/1\.1 400/)
    expect(await raw(`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`, 100)).toMatch(/^HTTP\/1\.1 431/)
    expect(await raw(post('/v1/completions', '{"prompt": "x"', 'x: y\r\n'), 100)).toMatch(/^HTTP\/1\.1 400/)
    expect(
      await raw(`POST /v1/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\ncontent-length: 9999999\r\n\r\n{`, 100),
    ).toMatch(/^HTTP\/1\.1 413/)
    expect(await status('/healthz')).toBe(200)
  })

  it('a slow client is cut off', async () => {
    const heads = raw('GET /healthz HTTP/1.1\r\nhost: ', 6_500)
    expect(await heads).toMatch(/^HTTP\/1\.1 408/)
    expect(await status('/healthz')).toBe(200)
  })
})
