import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Loaded, OpenServer } from '../src/index.ts'
import { chat, held, load, open, post, type Answer } from './server.ts'

let loaded: Loaded, server: OpenServer
beforeAll(async () => {
  loaded = await load()
  server = await open(loaded, { maxTokens: 100 })
})
afterAll(async () => {
  await server.close(0)
  loaded.model.dispose()
})

const messages = [{ role: 'user', content: 'Who?' }]
const ask = (more: object): object => ({ messages, max_tokens: 1, ...more })

const cases: [string, unknown, number, RegExp, string?][] = [
  ['no JSON', '{"messages": [', 400, /JSON/],
  ['a list', [], 400, /JSON object/],
  ['null', 'null', 400, /JSON object/],
  ['no messages', {}, 400, /messages/, 'messages'],
  ['empty messages', { messages: [] }, 400, /messages/, 'messages'],
  ['messages that are text', { messages: 'Who?' }, 400, /messages/, 'messages'],
  ['an unknown role', { messages: [{ role: 'pirate', content: 'x' }] }, 400, /role/, 'messages.0.role'],
  ['an image', { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 400, /content/],
  ['max_tokens that is text', ask({ max_tokens: 'ten' }), 400, /max_tokens/, 'max_tokens'],
  ['negative max_tokens', ask({ max_tokens: -1 }), 400, /max_tokens/, 'max_tokens'],
  ['more tokens than the server makes', ask({ max_tokens: 101 }), 400, /at most 100/, 'max_tokens'],
  ['a temperature below zero', ask({ temperature: -1 }), 400, /temperature/, 'temperature'],
  ['top_p of 0', ask({ top_p: 0 }), 400, /top_p/, 'top_p'],
  ['an infinite seed', '{"messages":[{"role":"user","content":"x"}],"seed":1e999}', 400, /seed/, 'seed'],
  ['two answers', ask({ n: 2 }), 400, /one answer/, 'n'],
  ['tools', ask({ tools: [{ type: 'function' }] }), 400, /no tools/],
  ['log probabilities', ask({ logprobs: true }), 400, /log probabilities/, 'logprobs'],
  ['five stops', ask({ stop: ['a', 'b', 'c', 'd', 'e'] }), 400, /stop/, 'stop'],
  ['another model', ask({ model: 'gpt-4' }), 404, /this server has "reference"/],
  ['an unknown method', ask({ kv_policy: 'snapk(budget=9)' }), 400, /Did you mean "snapkv"/, 'kv_policy'],
  ['a policy that is no text', ask({ kv_policy: 'kivi(' }), 400, /./, 'kv_policy'],
  ['methods that do not go together', ask({ kv_policy: 'snapkv(budget=9) + h2o(budget=9)' }), 400, /both decide/, 'kv_policy'],
  ['a budget of nothing', ask({ kv_policy: 'snapkv(budget=0)' }), 400, /budget of 0/i, 'kv_policy'],
  ['a policy with a file', ask({ kv_policy: 'kivi + disk(path="/etc")' }), 400, /no request reads or writes files/, 'kv_policy'],
  ['a policy with temporary files', ask({ kv_policy: 'disk' }), 400, /no request reads or writes files/, 'kv_policy'],
  ['a field with a file', ask({ kv_cache_file: '/etc/passwd' }), 400, /no request reads or writes files/, 'kv_cache_file'],
  ['a path in a field', ask({ sessionPath: '../x' }), 400, /no request reads or writes files/, 'sessionPath'],
  ['a session that is a path', ask({ session: '../../etc/passwd' }), 400, /session/, 'session'],
  ['an empty session', ask({ session: '' }), 400, /session/, 'session'],
  ['a prompt that is too long', ask({ messages: [{ role: 'user', content: 'ship '.repeat(9000) }] }), 400, /send a shorter one/],
]

it.each(cases)('%s', async (_, body, status, message, param) => {
  const before = held(loaded)
  const response = await post(server, '/v1/chat/completions', body)
  const { error } = (await response.json()) as Answer
  expect(error.message).toMatch(message)
  expect(response.status).toBe(status)
  if (param) expect(error.param).toBe(param)
  expect(error.type).toBe('invalid_request_error')
  expect(typeof error.code).toBe('string')
  expect(held(loaded)).toEqual(before)
})

const others: [string, string, unknown, Record<string, string>, number][] = [
  ['an empty prompt', '/v1/completions', { prompt: '' }, {}, 400],
  ['two prompts', '/v1/completions', { prompt: ['a', 'b'] }, {}, 400],
  ['tokens outside the vocabulary', '/v1/completions', { prompt: [0, 6144] }, {}, 400],
  ['echo', '/v1/completions', { prompt: 'x', echo: true }, {}, 400],
  ['no content type', '/v1/completions', { prompt: 'x' }, { 'content-type': 'text/plain' }, 400],
  ['a body that is too large', '/v1/completions', { prompt: 'x'.repeat(1_000_000) }, {}, 413],
  ['another path', '/v1/embeddings', {}, {}, 404],
]

it.each(others)('%s', async (_, path, body, headers, status) => {
  const response = await post(server, path, body, headers)
  expect(response.status).toBe(status)
  expect(((await response.json()) as Answer).error.message).toMatch(/\w/)
})

it('an error in the middle of a stream is its last event', async () => {
  const response = await post(server, '/v1/completions', { prompt: [0, 6144], max_tokens: 2, stream: true })
  expect(await response.text()).toMatch(/^data: \{"error":\{"message":"Token 6144/)
})

it('goes on after all of that', async () => {
  expect((await chat(server, { messages, max_tokens: 2 })).status).toBe(200)
})
