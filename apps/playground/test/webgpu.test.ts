import { chromium, type Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { executablePath } from './chromium.ts'
import { NUMBER, Playground, QUESTION } from './playground.ts'
import { serveStatic } from './static-server.ts'

/** A GPU in software, where the browser brings one. */
const SOFTWARE = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan']

describe.skipIf(!executablePath)('the page, with WebGPU', () => {
  let host: Awaited<ReturnType<typeof serveStatic>>
  let browser: Browser
  let playground: Playground
  beforeAll(async () => {
    host = await serveStatic()
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox', ...SOFTWARE] })
    playground = await Playground.open(browser, host.url)
  })
  afterAll(async () => {
    await browser?.close()
    await host?.close()
  })

  it('answers as without', async (test) => {
    const { page } = playground
    const hasAdapter = await page.evaluate(async () => {
      const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<object | null> } }
      return Boolean(await gpu?.requestAdapter())
    })
    if (!hasAdapter) {
      console.log('SKIPPED the page with WebGPU: this browser has no adapter')
      return test.skip()
    }
    await page.getByLabel('Run in').selectOption('webgpu')
    await playground.ready()
    expect(await page.getByText('with WebGPU').isVisible()).toBe(true)
    await playground.fill(`The magic number of quiet harbor is #${NUMBER}.`, QUESTION, 'kivi(bits=8, residual=16)')
    await page.getByRole('button', { name: 'Ask both' }).click()
    // A GPU in software takes a second or two for a token.
    for (const side of ['full', 'small'] as const)
      await expect.poll(() => playground.answer(side), { timeout: 100_000, interval: 500 }).toMatch(/^The magic/)
    await page.getByRole('button', { name: 'Stop' }).click()
    await expect.poll(() => playground.headline(), { timeout: 20_000 }).toBe('Stopped.')
    expect(playground.problems).toEqual([])
  })

  it('gives way where there is no adapter, and says so', async () => {
    const plain = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
    try {
      const other = await Playground.open(plain, `${host.url}#on=webgpu`)
      await other.ready()
      expect(await other.page.getByLabel('Run in').inputValue()).toBe('browser')
      expect(await other.headline()).toContain('no WebGPU adapter')
      // The browser's own words.
      expect(other.problems).toEqual(['No available adapters.'])
    } finally {
      await plain.close()
    }
  })
})
