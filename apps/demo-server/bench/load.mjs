// 32 clients at once, for as many seconds as the first argument says (120), on a server whose budget is a quarter of what they want. They
// read documents of 1,536 tokens, each its own, under three policies, and leave some answers before these end. Nothing but 429 may fail, no
// budget be exceeded, and /healthz keep answering. Run `npm run build` first.
import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { benchServer, documentOf, quantile, stream } from './bench-server.mjs'

const SECONDS = Number(process.argv[2] ?? 120)
const CLIENTS = 32
const TOKENS = 1536
const POLICIES = ['full', 'kivi(bits=4, residual=32)', 'snapkv(budget=25%) + kivi(bits=4)']
/** What a request of this size reserves: see estimate.ts. */
const WANTED = 22e6
const budget = (CLIENTS * WANTED) / 4

const { url, pid, tokenizer, close } = await benchServer({ budget })
const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024
/** Bytes that caches hold, and those reserved for requests at work. */
const memory = async () => {
  const text = await (await fetch(`${url}/metrics`)).text()
  return ['cache', 'reserved'].map((name) => Number(new RegExp(`^kvfold_${name}_bytes (\\S+)`, 'm').exec(text)[1]))
}

const documents = Array.from({ length: CLIENTS * 4 }, (_, seed) => documentOf(tokenizer, TOKENS, seed))
const counts = { answered: 0, left: 0, full: 0, failed: 0, tokens: 0 }
const gaps = [],
  firsts = []

async function client(index) {
  for (let round = 0; performance.now() < end; round++) {
    const messages = [
      { role: 'system', content: documents[(index + round * 7) % documents.length] },
      { role: 'user', content: `Who was near the harbor in round ${round}?` },
    ]
    const body = { messages, max_tokens: 64, stop: ['\u0000'], kv_policy: POLICIES[(index + round) % POLICIES.length] }
    const leaving = new AbortController()
    const leaves = (index + round) % 5 === 0
    const steps = stream(url, body, leaving.signal)
    let last
    try {
      for (;;) {
        const { value, done } = await steps.next()
        if (done) {
          if (value.status === 200) counts.answered++
          else if (value.status === 429 && value.retryAfter >= 1) {
            counts.full++
            await setTimeout(value.retryAfter * 1000 * (0.5 + Math.random()))
          } else throw new Error(`${value.status} ${value.text}`)
          break
        }
        if (value.event.error) throw new Error(value.event.error.message)
        if (!value.event.choices[0]?.delta.content) continue
        if (last === undefined) firsts.push(value.ms)
        else gaps.push(value.ms - last)
        last = value.ms
        if (leaves && gaps.length % 8 === 0) leaving.abort()
        counts.tokens++
      }
    } catch (error) {
      if (leaving.signal.aborted) counts.left++
      else {
        counts.failed++
        console.error(error.message)
      }
    }
  }
}

// What the process takes with all of its code run, before the load.
for (const kv_policy of POLICIES)
  for await (const _ of stream(url, { messages: [{ role: 'user', content: documents[0] }], max_tokens: 4, kv_policy }));
const before = rss()
const end = performance.now() + SECONDS * 1000
const health = [],
  held = [],
  promised = []
let peak = 0

async function watch() {
  while (performance.now() < end) {
    const start = performance.now()
    const { ok } = await fetch(`${url}/healthz`)
    health.push(performance.now() - start)
    if (!ok) counts.failed++
    peak = Math.max(peak, rss())
    await setTimeout(40)
  }
}

async function ledger() {
  while (performance.now() < end) {
    const [cache, reserved] = await memory()
    held.push(cache)
    // A page that a snapshot shared and its request copied counts here twice until the request ends: this may pass the budget by as much.
    promised.push(cache + reserved)
    await setTimeout(500)
  }
}

await Promise.all([watch(), ledger(), ...Array.from({ length: CLIENTS }, (_, i) => client(i))])
await setTimeout(500)
const { running } = await (await fetch(`${url}/healthz`)).json()
const [, left] = await memory()
await close()

const mb = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`
const ms = (values, share) => `${quantile(values, share)?.toFixed(0)} ms`
console.log(`requests  ${JSON.stringify(counts)}; at the end ${running} at work, ${left} bytes reserved`)
console.log(
  `budget    ${mb(budget)}: at most ${mb(Math.max(...held))} held, ${mb(Math.max(...promised))} with what was reserved; the process grew by ${mb(peak - before)} from ${mb(before)}`,
)
console.log(`healthz   p50 ${ms(health, 0.5)}, p99 ${ms(health, 0.99)}, max ${ms(health, 1)} of ${health.length}`)
console.log(`ttft      p50 ${ms(firsts, 0.5)}, p99 ${ms(firsts, 0.99)}; between tokens p50 ${ms(gaps, 0.5)}, p99 ${ms(gaps, 0.99)}`)
const failed = counts.failed > 0 || running > 0 || Math.max(...held) > budget || peak - before > budget || quantile(health, 0.99) > 100
process.exitCode = failed ? 1 : 0
