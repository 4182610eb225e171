import { chromium, type Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
// By their places: the command depends on both apps, and neither on the other.
import { serve, type Serving } from '../../demo-server/src/index.ts'
import { load, log, registry } from '../../demo-server/test/server.ts'
import { executablePath } from './chromium.ts'
import { DOCUMENT, NUMBER, Playground, QUESTION } from './playground.ts'
import { dist } from './static-server.ts'

const POLICY = 'kivi(bits=4, residual=32)'

describe.skipIf(!executablePath)('the page, from a KVFold server', () => {
  let server: Serving
  let browser: Browser
  let playground: Playground
  let end: () => void
  beforeAll(async () => {
    const loaded = await load()
    const limits = { budget: 500e6, disk: 500e6, maxTokens: 64 }
    server = await serve({ ...loaded, ...limits, registry, page: dist, port: 0, host: '127.0.0.1', log })
    end = () => loaded.model.dispose()
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
    playground = await Playground.open(browser, server.url)
    await playground.page.getByLabel('Run in').selectOption('server')
  })
  afterAll(async () => {
    await browser?.close()
    await server?.close()
    end?.()
    expect(playground.problems).toEqual([])
  })

  it.each([false, true])('answers, and shows what was kept; the policy sees the question: %s', async (aware) => {
    const { page } = playground
    await playground.fill(DOCUMENT, QUESTION, POLICY)
    await page.getByLabel('The policy sees the question').setChecked(aware)
    await playground.ask()
    expect(await playground.answer('full')).toContain(NUMBER)
    expect(await playground.answer('small')).toContain(NUMBER)
    expect(await playground.headline()).toMatch(/smaller, same answer/)
    const step = page.getByLabel('step', { exact: true })
    expect(Number(await step.getAttribute('max'))).toBeGreaterThan(5)
  })

  it('says in a sentence why the server refuses', async () => {
    await playground.fill(DOCUMENT, 'why '.repeat(9000), POLICY)
    await playground.page.getByRole('button', { name: 'Ask both' }).click()
    await expect.poll(() => playground.headline()).toMatch(/tokens.*\.$/)
    // The browser itself reports the refusal too.
    expect(playground.problems.splice(0)).toEqual([expect.stringContaining('400')])
  })

  it('saves nothing, and says why', async () => {
    const { page } = playground
    expect(await page.getByRole('button', { name: 'Save' }).isDisabled()).toBe(true)
    expect(await page.getByText('no request makes it write or send files').isVisible()).toBe(true)
  })

  it('runs in the browser under the server’s content policy too, with threads', async () => {
    const { page } = playground
    await page.getByLabel('Run in').selectOption('browser')
    await playground.ready()
    await playground.fill(DOCUMENT, QUESTION, POLICY)
    await page.getByLabel('The policy sees the question').setChecked(false)
    await playground.ask()
    expect(await playground.answer('small')).toContain(NUMBER)
    expect(await page.evaluate('crossOriginIsolated')).toBe(true)
    expect(page.workers().some((worker) => worker.url().startsWith('blob:'))).toBe(true)
    expect(playground.problems).toEqual([])
  })
})
