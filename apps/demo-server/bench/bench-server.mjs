// What the scripts here share: a server in a process of its own, prompts, and streams that are timed.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Tokenizer } from '@kvfold/models'
import { modelUrl } from '@kvfold/reference-model'

const command = fileURLToPath(new URL('../../cli/bin/kvfold.js', import.meta.url))

/** Starts `kvfold serve`. */
export async function benchServer(options) {
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
  const child = spawn(process.execPath, [command, 'serve', '--port', '0', ...flags], { stdio: ['ignore', 'ignore', 'pipe'] })
  const [line] = await once(createInterface(child.stderr), 'line')
  return {
    pid: child.pid,
    url: /http:\S+/.exec(line)[0],
    tokenizer: new Tokenizer(JSON.parse(readFileSync(new URL('tokenizer.json', modelUrl), 'utf8'))),
    async close() {
      child.kill('SIGTERM')
      await once(child, 'exit')
    },
  }
}

const WORDS = 'ship harbor wind captain letter island morning cargo lantern storm rope bread winter river friend village'.split(' ')

/** Text of so many tokens; another one for each seed. */
export function documentOf(tokenizer, tokens, seed) {
  let state = seed * 7919 + 1
  const word = () => WORDS[(state = (state * 48271) % 2147483647) % WORDS.length]
  let text = ''
  while (text.length < tokens * 8) text += `The ${word()} and the ${word()} met a ${word()} near the ${word()}. `
  return tokenizer.decode(tokenizer.encode(text, { special: false }).slice(0, tokens))
}

/** A chat's stream. Yields the milliseconds since the request at which each event came, with the event; returns the status. */
export async function* stream(url, body, signal) {
  const start = performance.now()
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, stream: true }),
    signal,
  })
  if (!response.ok) return { status: response.status, retryAfter: Number(response.headers.get('retry-after')), text: await response.text() }
  let rest = ''
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const events = (rest + chunk).split('\n\n')
    rest = events.pop()
    for (const event of events) if (event !== 'data: [DONE]') yield { ms: performance.now() - start, event: JSON.parse(event.slice(6)) }
  }
  return { status: response.status }
}

/** Milliseconds to the first piece of text. */
export async function ttft(url, content, question) {
  const messages = [
    { role: 'system', content },
    { role: 'user', content: question },
  ]
  let first
  for await (const { ms, event } of stream(url, { messages, max_tokens: 4 })) if (event.choices[0]?.delta.content) first ??= ms
  return first
}

export function median(values) {
  return quantile(values, 0.5)
}

export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
}
