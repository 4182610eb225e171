// Kills a server (SIGKILL) at random moments while sessions move to the disk and back, starts it anew over the same folder, and asks every
// session: each answers what its own document says, or is gone and says so, or begins anew. As many rounds as the first argument says (20).
// Run `npm run build` first.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { watch } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { benchServer, documentOf } from './bench-server.mjs'

const ROUNDS = Number(process.argv[2] ?? 20)
const SESSIONS = 6
const folder = mkdtempSync(join(tmpdir(), 'kvfold-kill-'))
// Room for one request and a session or two: every turn moves others.
const options = { sessions: folder, budget: 16e6 }
const counts = { right: 0, wrong: 0, gone: 0, anew: 0, halfWritten: 0, failed: 0 }

const value = (i) => String(1_000_001 + i * 1_234_321)
const post = async (url, body) => {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ kv_policy: 'full', ...body }),
  })
  return { status: response.status, body: await response.json() }
}
async function writing(signal) {
  try {
    for await (const { filename } of watch(folder, { signal })) if (filename.endsWith('.tmp')) return
  } catch {
    // No session moved meanwhile.
  }
}

const question = (i) => ({ role: 'user', content: `What is the magic number of quiet harbor ${i}?` })

for (let round = 0; round < ROUNDS; round++) {
  const server = await benchServer(options)
  const { url, tokenizer } = server
  const began = new Set()
  const killed = (async () => {
    await setTimeout(1500 + Math.random() * 2500)
    // At that moment, or in the middle of the next write.
    if (round % 2 === 0) await writing(AbortSignal.timeout(5000))
    process.kill(server.pid, 'SIGKILL')
  })()
  const work = (async () => {
    for (let turn = 0; ; turn++) {
      const i = turn % SESSIONS
      const session = `r${round}-${i}`
      const content = `${documentOf(tokenizer, 300, i)} The magic number of quiet harbor ${i} is #${value(i)}. ${documentOf(tokenizer, 100, i + 50)}`
      const messages = began.has(i) ? [question(i)] : [{ role: 'system', content }]
      await post(url, { session, messages, max_tokens: began.has(i) ? 16 : 0 })
      began.add(i)
    }
  })().catch(() => {})
  await Promise.all([killed, work])
  counts.halfWritten += readdirSync(folder).filter((name) => name.endsWith('.tmp')).length

  const next = await benchServer(options)
  if (readdirSync(folder).some((name) => name.endsWith('.tmp'))) counts.failed++
  for (const i of began) {
    const { status, body } = await post(next.url, { session: `r${round}-${i}`, messages: [question(i)], max_tokens: 16 })
    if (status === 410) counts.gone++
    else if (status !== 200) counts.failed++
    else if (body.usage.prompt_tokens_details.cached_tokens === 0) counts.anew++
    else if (body.choices[0].message.content.includes(value(i))) counts.right++
    else counts.wrong++
  }
  await next.close()
  for (const name of readdirSync(folder)) rmSync(join(folder, name))
}
rmSync(folder, { recursive: true })
console.log(`${ROUNDS} kills: ${JSON.stringify(counts)}`)
process.exitCode = counts.wrong > 0 || counts.failed > 0 ? 1 : 0
