import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, describe, expect, it } from 'vitest'
import { command } from './built-command.ts'

const folder = mkdtempSync(join(tmpdir(), 'kvfold-serve-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function start(...args: string[]): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(process.execPath, [command, 'serve', '--port', '0', ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  const [line] = (await once(createInterface(child.stderr!), 'line')) as [string]
  return { child, url: /http:\S+/.exec(line)![0] }
}

describe('kvfold serve', () => {
  it('answers, and leaves its sessions in their folder when it is stopped', async () => {
    const { child, url } = await start('--sessions', folder, '--api-key', 'secret')
    expect(new URL(url).hostname).toBe('127.0.0.1')
    expect((await fetch(`${url}/v1/models`)).status).toBe(401)
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer secret' },
      body: JSON.stringify({ prompt: 'Once upon a time', max_tokens: 4, session: 'one', kv_policy: 'kivi(bits=4)' }),
    })
    expect(await response.json()).toMatchObject({ model: 'reference', usage: { completion_tokens: 4 }, kv: { policy: 'kivi(bits=4)' } })
    expect(readdirSync(folder)).toEqual([])
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    expect(await exit).toEqual([0, null])
    expect(readdirSync(folder)).toEqual([expect.stringMatching(/^[0-9a-f]{64}\.kv$/)])
  })

  it('says in a sentence why it cannot start', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const port = String((taken.address() as AddressInfo).port)
    for (const [args, why] of [
      [['--port', port], /EADDRINUSE.*choose another port/],
      [['--port', 'x'], /whole number/],
      [['--budget', '5x'], /Give bytes/],
      [['--sessions', '/dev/null/x'], /choose another port, host or folder/],
      [['--api-key', ''], /API key is empty/],
      [['-m', './no-model'], /no '.\/no-model'/],
    ] as const) {
      const { status, stderr } = spawnSync(process.execPath, [command, 'serve', ...args], { encoding: 'utf8', timeout: 20_000 })
      expect(stderr).toMatch(why)
      expect(status).toBe(2)
    }
    taken.close()
  })
})
