import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findChromium } from '../../../tooling/chromium.ts'
import * as here from './browser-caches.ts'
import { pageScript } from './page-script.ts'

const executablePath = findChromium('a cache in a browser')

describe.skipIf(!executablePath)('a cache file between Node and a page in Chromium', () => {
  let browser: Browser
  let page: Page
  const problems: string[] = []
  let alike: boolean
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
    page = await browser.newPage()
    page.on('pageerror', (error) => problems.push(error.message))
    await page.addScriptTag({ content: await pageScript(new URL('browser-caches.ts', import.meta.url)) })
    alike = (await page.evaluate('kvfold.kernelsName()')) === here.kernelsName()
  })
  afterAll(() => browser.close())

  /** Calls what this test imports as well, in the page. */
  const there: Pick<typeof here, 'makeFile' | 'nextOutputs'> = {
    makeFile: (...args) => page.evaluate(`kvfold.makeFile(...${JSON.stringify(args)})`),
    nextOutputs: (...args) => page.evaluate(`kvfold.nextOutputs(...${JSON.stringify(args)})`),
  }

  const cases = Object.keys(here.POLICIES).flatMap((policy) => [false, true].map((coded) => [policy, coded] as const))
  it.each(cases)('goes on alike where it is loaded: %s, coded: %s', async (policy, coded) => {
    for (const [from, to] of [
      [here, there],
      [there, here],
    ]) {
      const file = await from.makeFile(policy, coded)
      const [before, after] = [await from.nextOutputs(file, policy), await to.nextOutputs(file, policy)]
      expect(before.length).toBe(2 * 22 * 4 * 64)
      expect(after).toHaveLength(before.length)
      const worst = before.reduce((most, x, i) => Math.max(most, Math.abs(x - after[i])), 0)
      // Chromium may have relaxed SIMD where Node has none: that rounds what meets 2 bits to 8, see docs/kernels.md.
      expect(worst).toBeLessThan(alike || policy === 'full' ? 1e-5 : 0.03)
      if (coded && policy !== 'full') expect(file.length).toBeLessThan((await from.makeFile(policy, false)).length)
    }
    expect(problems).toEqual([])
  })

  it('is refused in a page as here when it is damaged', async () => {
    const file = await here.makeFile('cachegen', true)
    file[file.length - 5000] ^= 1
    for (const side of [here, there]) await expect(side.nextOutputs(file, 'cachegen')).rejects.toThrow(/does not have its checksum/)
  })
})
