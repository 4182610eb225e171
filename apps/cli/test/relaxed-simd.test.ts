import { chromium, type Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildFor } from '../../../packages/kernels/src/wasm/relaxed-simd.ts'
import type * as inPage from '../../../packages/kernels/test/relaxed-page.ts'
import { findChromium } from '../../../tooling/chromium.ts'
import { pageScript } from './page-script.ts'

const executablePath = findChromium('relaxed SIMD in a browser')

// Node 20 has none that works, and Chromium has.
describe.skipIf(!executablePath)('relaxed SIMD in Chromium', () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  })
  afterAll(() => browser.close())

  it('is chosen by how it multiplies, and errs by a fraction of what codes do', async () => {
    const page = await browser.newPage()
    await page.addScriptTag({ content: await pageScript(new URL('../../../packages/kernels/test/relaxed-page.ts', import.meta.url)) })
    const { product, best } = await page.evaluate<ReturnType<typeof inPage.choice>>('kvfold.choice()')
    expect(best).toBe(buildFor(product))
    for (const bits of [2, 4]) {
      const errors = await page.evaluate<ReturnType<typeof inPage.errors>[]>(
        `['plain', 'fused', 'relaxed'].map((build) => kvfold.errors(build, ${bits}))`,
      )
      const [plain, fused, relaxed] = errors.map(({ rounding, codes }) => rounding / codes)
      expect(Math.max(plain, fused)).toBeLessThan(3e-3)
      expect(relaxed).toBeLessThan(bits === 4 ? 0.2 : 0.04)
    }
  })
})
