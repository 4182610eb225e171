import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename } from 'node:path'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findChromium } from '../../../tooling/chromium.ts'
import type * as inPage from '../../../packages/models/test/isolated-page.ts'
import { pageScript } from './page-script.ts'

/** The page's script, and what it needs, are found from there. */
const require = createRequire(new URL('../../../packages/models/package.json', import.meta.url))

const executablePath = findChromium('threads in a browser')

/** An empty page, and tfjs's binaries; at /isolated with the headers that let threads share memory. */
async function serve(): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    const name = basename(request.url!)
    const isolated = name === 'isolated' && { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' }
    if (!name.endsWith('.wasm')) return response.writeHead(200, { 'content-type': 'text/html', ...isolated }).end('<!doctype html>')
    void readFile(require.resolve(`@tensorflow/tfjs-backend-wasm/dist/${name}`)).then((bytes) =>
      response.writeHead(200, { 'content-type': 'application/wasm' }).end(bytes),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

describe.skipIf(!executablePath)('threads in Chromium', () => {
  let browser: Browser, server: Server, url: string, code: string
  const problems: string[] = []
  beforeAll(async () => {
    ;({ server, url } = await serve())
    code = await pageScript(new URL('../../../packages/models/test/isolated-page.ts', import.meta.url))
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  })
  afterAll(async () => {
    await browser.close()
    server.close()
  })

  async function open(path: string): Promise<Page> {
    const page = await browser.newPage()
    page.on('pageerror', (error) => problems.push(error.message))
    await page.goto(url + path)
    await page.addScriptTag({ content: code })
    return page
  }

  it('share the memory of tfjs in a page that is cross-origin isolated', async () => {
    const page = await open('/isolated')
    expect(await page.evaluate('kvfold.start()')).toBe(true)
    const { one, two, threads, inPlace } = await page.evaluate<Awaited<ReturnType<typeof inPage.outputs>>>('kvfold.outputs()')
    expect([threads, inPlace, one.length]).toEqual([2, true, 3 * 256])
    expect(one.reduce((worst, x, i) => Math.max(worst, Math.abs(x - two[i])), 0)).toBeLessThan(1e-5)
    expect(problems).toEqual([])
  })

  it('are refused in any other page, where one thread works', async () => {
    const page = await open('/')
    expect(await page.evaluate('kvfold.start()')).toBe(false)
    await expect(page.evaluate('kvfold.outputs()')).rejects.toThrow(/must be cross-origin isolated/)
  })
})
