import { describe, expect, it } from 'vitest'
import { asked, chat, document, events, open, post, QUESTION, withServer, type Answer } from './server.ts'

const at = withServer()

describe('chat', () => {
  it('answers, and says what it took', async () => {
    const { choices, usage, kv } = await chat(at.server, { messages: asked(document(20)), max_tokens: 30 })
    expect(choices).toEqual([
      {
        index: 0,
        message: { role: 'assistant', content: 'The magic number of quiet harbor is #4821375.', refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ])
    expect(kv.policy).toBe('full')
    expect(kv.rows).toBe((usage.prompt_tokens + usage.completion_tokens) * 16)
    expect(kv.fullF32Bytes).toBe(2 * kv.fullF16Bytes)
    expect(kv.bytes).toBeGreaterThan(kv.fullF32Bytes)
    expect(kv.peakBytes).toBeGreaterThan(kv.bytes)
  })

  it('answers the same under a policy, with less', async () => {
    const policy = 'snapkv(budget=25%, window=16, kernel=7) + kivi(bits=4, residual=32)'
    const { choices, kv } = await chat(at.server, { messages: asked(document(20)), max_tokens: 30, kv_policy: policy })
    expect(choices[0].message.content).toContain('4821375')
    expect(kv.policy).toBe(policy)
    expect(kv.bytes).toBeLessThan(kv.fullF32Bytes / 6)
  })

  it.each([
    'kvzip(budget=50%)',
    'flexprefill',
    'locret(budget=200)',
    'h2o(budget=80%) + rerotate',
    'keydiff(budget=80%) + trigger(chunk=100) + int8',
    'tova(budget=80%) + d2o',
  ])('answers under %s, which asks much of a cache', async (kv_policy) => {
    const { status, choices, kv } = await chat(at.server, { messages: asked(document(12)), max_tokens: 20, kv_policy })
    expect(status).toBe(200)
    expect(choices[0].message.content).toMatch(/\w/)
    expect(kv.policy).toBe(kv_policy)
  })

  it('finds the question after the last empty line of a message, and the document before it', async () => {
    const apart = await chat(at.server, { messages: asked(document(6)), max_tokens: 30 })
    const together = await chat(at.server, { messages: [{ role: 'user', content: `${document(6)}\n\n${QUESTION}` }], max_tokens: 30 })
    expect(together.choices).toEqual(apart.choices)
    expect(together.usage.prompt_tokens).toBe(apart.usage.prompt_tokens)
  })

  it('reads messages in parts, and answers after answers', async () => {
    const { choices } = await chat(at.server, {
      messages: [
        { role: 'developer', content: [{ type: 'text', text: document(4) }] },
        { role: 'user', content: 'What is the magic number of loud harbor?' },
        { role: 'assistant', content: 'The magic number of loud harbor is #1111111.' },
        { role: 'user', content: [{ type: 'text', text: QUESTION }] },
      ],
      max_completion_tokens: 30,
    })
    expect(choices[0].message.content).toContain('4821375')
  })

  it('streams the same, and ends with what it took', async () => {
    const body = { messages: asked(document(6)), max_tokens: 30 }
    const whole = await chat(at.server, body)
    const response = await post(at.server, '/v1/chat/completions', { ...body, stream: true })
    expect(response.headers.get('content-type')).toContain('text/event-stream')
    const all = await events(response)
    expect(all[0].choices[0].delta).toEqual({ role: 'assistant', content: '' })
    expect(all.map(({ choices }) => choices[0].delta.content ?? '').join('')).toBe(whole.choices[0].message.content)
    expect(all.length).toBeGreaterThan(5)
    expect(new Set(all.map(({ id }) => id)).size).toBe(1)
    expect(all.every(({ object }) => object === 'chat.completion.chunk')).toBe(true)
    const last = all.at(-1)!
    expect(last.choices[0].finish_reason).toBe('stop')
    expect(last.usage).toMatchObject({ prompt_tokens: whole.usage.prompt_tokens, completion_tokens: whole.usage.completion_tokens })
    expect(last.kv.rows).toBe(whole.kv.rows)
  })

  it('sends usage in an event of its own if asked', async () => {
    const body = { messages: asked(document(3)), max_tokens: 3, stream: true, stream_options: { include_usage: true } }
    const all = await events(await post(at.server, '/v1/chat/completions', body))
    expect(all.at(-2)).toMatchObject({ choices: [{ finish_reason: 'length' }], usage: null })
    expect(all.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 3 }, kv: { policy: 'full' } })
  })
})

describe('completions', () => {
  const complete = async (body: object): Promise<Answer> => (await post(at.server, '/v1/completions', body)).json() as Promise<Answer>

  it('continue a text, or tokens', async () => {
    const prompt = `${document(4)}\n\nQuestion: ${QUESTION}\nAnswer:`
    const text = await complete({ prompt, max_tokens: 30 })
    expect(text.choices[0].text).toContain(' The magic number of quiet harbor is #4821375.')
    const ids = [0, ...at.loaded.tokenizer.encode(prompt, { special: false })]
    const tokens = await complete({ prompt: ids, max_tokens: 30 })
    expect(tokens.choices).toEqual(text.choices)
    expect(tokens.usage.prompt_tokens).toBe(ids.length)
  })

  it('end before a stop text, also in a stream', async () => {
    const body = { prompt: `${document(4)}\n\nQuestion: ${QUESTION}\nAnswer:`, max_tokens: 30, stop: ['8213', 'xyz'] }
    const { choices } = await complete(body)
    expect(choices[0]).toMatchObject({ text: ' The magic number of quiet harbor is #4', finish_reason: 'stop' })
    const all = await events(await post(at.server, '/v1/completions', { ...body, stream: true }))
    expect(all.map(({ choices }) => choices[0].text).join('')).toBe(choices[0].text)
  })

  it('draw by their seed', async () => {
    const say = async (seed: number): Promise<string> =>
      (await complete({ prompt: 'Once upon a time', max_tokens: 12, temperature: 1, seed })).choices[0].text
    expect(await say(1)).toBe(await say(1))
    expect(await say(1)).not.toBe(await say(2))
  })

  it('only read with max_tokens 0', async () => {
    const { choices, usage } = await complete({ prompt: document(4), max_tokens: 0 })
    expect(choices[0]).toMatchObject({ text: '', finish_reason: 'length' })
    expect(usage.completion_tokens).toBe(0)
  })

  it('end where the context does', async () => {
    await at.server.close(0)
    at.server = await open(at.loaded, { maxContext: 40 })
    const { usage, choices } = await complete({ prompt: 'The ship went on', max_tokens: 100, stop: ['\u0000'] })
    expect(usage.prompt_tokens + usage.completion_tokens).toBeLessThanOrEqual(40)
    expect(choices[0].finish_reason).toBe(usage.prompt_tokens + usage.completion_tokens === 40 ? 'length' : 'stop')
  })

  it('answer many at once as one by one', async () => {
    const prompts = Array.from({ length: 6 }, (_, i) => `${document(3 + i)}\n\nQuestion: ${QUESTION}\nAnswer:`)
    const policies = ['full', 'kivi(bits=4, residual=32)', 'h2o(budget=60%)']
    const ask = async (prompt: string, i: number): Promise<unknown> =>
      (await complete({ prompt, max_tokens: 16, kv_policy: policies[i % 3] })).choices
    const alone: unknown[] = []
    for (const [i, prompt] of prompts.entries()) alone.push(await ask(prompt, i))
    await at.server.close(0)
    at.server = await open(at.loaded)
    expect(await Promise.all(prompts.map(ask))).toEqual(alone)
  })
})
