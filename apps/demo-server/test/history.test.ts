import { CacheHistory } from '@kvfold/kv-core/history'
import { expect, it } from 'vitest'
import { chat, document, events, post, QUESTION, withServer, type Answer } from './server.ts'

const at = withServer()

const policy = 'keydiff(budget=50%) + kivi(bits=4, residual=32)'
const system = { role: 'system', content: document(12) }
const user = { role: 'user', content: QUESTION }

/** Rows of a frame, which must be those that the cache had. */
function rowsOf(history: CacheHistory, frame?: number): number {
  return history.states(frame).reduce((sum, own) => sum + own.filter((state) => state > 0).length, 0)
}
function historyOf({ kv }: Answer): CacheHistory {
  const history = CacheHistory.from(kv.history)
  expect(rowsOf(history)).toBe(kv.rows)
  expect(kv.pieces).toHaveLength(history.frames.at(-1)!.tokens)
  return history
}

it('is there for a request that asks for it', async () => {
  const body = { messages: [system, user], max_tokens: 30, kv_policy: policy }
  const plain = await chat(at.server, body)
  expect(plain.kv).not.toHaveProperty('history')
  const answer = await chat(at.server, { ...body, kv_history: true })
  const { history: _, pieces, ...kv } = answer.kv
  expect(kv).toEqual({ ...plain.kv, peakBytes: kv.peakBytes })
  // Read as a whole, and then every token that was made.
  const history = historyOf(answer)
  expect(history.frames[0].tokens).toBe(answer.usage.prompt_tokens)
  expect(history.frames.length).toBeGreaterThanOrEqual(answer.usage.completion_tokens)
  expect(pieces!.join('')).toContain(QUESTION)
  // Nobody goes on from a cache that is recorded, nor does a history begin in the middle.
  expect(answer.usage.prompt_tokens_details.cached_tokens).toBe(0)
  expect((await chat(at.server, { ...body, kv_history: true })).usage.prompt_tokens_details.cached_tokens).toBe(0)
})

it('leaves nothing to go on from', async () => {
  const body = { messages: [system, user], max_tokens: 2, kv_policy: policy }
  await chat(at.server, { ...body, kv_history: true })
  expect((await chat(at.server, body)).usage.prompt_tokens_details.cached_tokens).toBe(0)
  expect((await chat(at.server, body)).usage.prompt_tokens_details.cached_tokens).toBeGreaterThan(0)
})

it('comes with a stream, whose events tell what is held', async () => {
  const response = await post(at.server, '/v1/chat/completions', {
    messages: [system, user],
    max_tokens: 30,
    kv_policy: policy,
    kv_history: true,
    stream: true,
  })
  const all = await events(response)
  const last = all.at(-1)!
  historyOf(last as unknown as Answer)
  const texts = all.filter(({ choices }) => choices[0]?.delta.content)
  expect(texts.length).toBeGreaterThan(3)
  for (const { kv } of texts) {
    const { bytes, payload, scales, columns, indices, rows } = kv as unknown as Record<string, number>
    expect(bytes).toBe(payload + scales + columns + indices)
    expect(rows).toBeLessThanOrEqual(last.kv.rows)
  }
})

it('goes on through the turns of a session, asked for or not', async () => {
  const told = await chat(at.server, { session: 'a', messages: [system], max_tokens: 0, kv_policy: policy, kv_history: true })
  const document = historyOf(told)
  expect(document.frames).toHaveLength(1)
  const asked = await chat(at.server, { session: 'a', messages: [user], max_tokens: 30 })
  expect(asked.kv).not.toHaveProperty('history')
  const again = await chat(at.server, { session: 'a', messages: [user], max_tokens: 30, kv_history: true })
  expect(again.choices[0].message.content).toContain('4821375')
  const history = historyOf(again)
  expect(history.states(0)).toEqual(document.states(0))
  expect(history.frames.length).toBeGreaterThan(2 + asked.usage.completion_tokens)
  expect(again.kv.pieces!.join('').split(QUESTION)).toHaveLength(3)
})

it('is null where it was not begun, or the cache was on the disk', async () => {
  await chat(at.server, { session: 'plain', messages: [system], max_tokens: 0, kv_policy: policy })
  const plain = await chat(at.server, { session: 'plain', messages: [user], max_tokens: 30, kv_history: true })
  expect([plain.kv.history, plain.kv.pieces]).toEqual([null, null])
  await chat(at.server, { session: 'moved', messages: [system], max_tokens: 0, kv_policy: policy, kv_history: true })
  while (await at.server.engine.shared.sessions.moveOldest());
  const moved = await chat(at.server, { session: 'moved', messages: [user], max_tokens: 30, kv_history: true })
  expect(moved.choices[0].message.content).toContain('4821375')
  expect(moved.kv.history).toBeNull()
})

it('is a yes or a no', async () => {
  const { status, error } = await chat(at.server, { messages: [user], kv_history: 'yes' })
  expect([status, error.param]).toEqual([400, 'kv_history'])
})
