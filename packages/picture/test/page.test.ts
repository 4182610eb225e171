import { reportHtml, type Report } from '@kvfold/picture'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findChromium } from '../../../tooling/chromium.ts'
import { historyOf } from './history-of.ts'
import { newest } from './toy-methods.ts'

const executablePath = findChromium('a report in a browser')

const PROMPT = 'A text of <b>tags</b> & "quotes", </script> and all. '.repeat(4)

async function report(): Promise<Report> {
  const pieces = [...PROMPT, ...'abcde']
  const history = await historyOf([newest], PROMPT.length, 5)
  return {
    title: 'What <newest> kept',
    question: 'Which?',
    answer: 'a\nb',
    facts: [['model', 'a & b']],
    history,
    pieces,
    documentTokens: PROMPT.length,
  }
}

describe.skipIf(!executablePath)('a report in Chromium', () => {
  let browser: Browser
  let page: Page
  const problems: string[] = []
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
    page = await browser.newPage({ viewport: { width: 1000, height: 900 } })
    page.on('pageerror', (error) => problems.push(error.message))
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
    page.on('request', (request) => !request.url().startsWith('about:') && problems.push(`asked for ${request.url()}`))
    await page.setContent(reportHtml(await report()))
    await page.locator('canvas').waitFor()
  })
  afterAll(() => browser.close())
  const says = () => page.locator('.says').textContent()
  const legend = () => page.locator('.legend').textContent()

  it('shows the text as it is, and what was asked', async () => {
    expect(await page.locator('.text').textContent()).toBe(`${PROMPT}abcde`)
    expect(await page.locator('h1').textContent()).toBe('What <newest> kept')
    expect(await page.locator('dd').allTextContents()).toEqual(['Which?', 'a\nb', 'a & b'])
  })

  it('moves through time', async () => {
    const slider = page.getByLabel('step', { exact: true })
    expect(await slider.getAttribute('aria-valuetext')).toBe('step 5: “e”')
    expect(await legend()).toContain('32 bits 60 rows')
    await slider.fill('0')
    await expect.poll(legend).toContain('32 bits 40 rows')
    expect(await slider.getAttribute('aria-valuetext')).toBe('the document is read')
    expect(await page.locator('.text .unread').count()).toBe(5)
    await slider.press('ArrowRight')
    await expect.poll(legend).toContain('32 bits 44 rows')
  })

  it('says what became of the token under the pointer, and shows its heads', async () => {
    const canvas = page.locator('canvas')
    const { width, height } = (await canvas.boundingBox())!
    await canvas.hover({ position: { x: 1, y: 1 } })
    await expect.poll(says).toBe('token 0 “A” · layer 0, head 0 · dropped · score 0.00')
    await canvas.hover({ position: { x: ((PROMPT.length - 0.5) / (PROMPT.length + 5)) * width, y: height - 2 } })
    await expect
      .poll(says)
      .toBe(`token ${PROMPT.length - 1} “ ” · layer 1, head 1 · kept in 32 bits · always kept`.replace('· always', '· score always'))
    await canvas.click({ position: { x: 1, y: 1 } })
    await expect.poll(() => page.locator('.card').textContent()).toContain('“A” token 0, held by 0 of 4 heads')
    expect(await page.locator('.card td').count()).toBe(4)
  })

  it('is worked by the keyboard alone', async () => {
    const canvas = page.locator('canvas')
    await canvas.focus()
    await page.mouse.move(0, 0)
    await canvas.press('Escape')
    await expect.poll(() => page.locator('.card').textContent()).toContain('Choose a token')
    await canvas.press('ArrowDown')
    await expect.poll(says).toContain('layer 0, head 1')
    await canvas.press('+')
    const last = () => page.locator('.axis span').last().textContent()
    await expect.poll(last).not.toBe(String(PROMPT.length + 4))
    await canvas.press('0')
    await expect.poll(last).toBe(String(PROMPT.length + 4))
    await canvas.press('Enter')
    await expect.poll(() => page.locator('.card').textContent()).toContain('held by 0 of 4 heads')
  })

  it('fits a phone, and turns dark with the system', async () => {
    await page.setViewportSize({ width: 360, height: 740 })
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360)
    const pixel = () =>
      page.locator('canvas').evaluate((canvas) => [...(canvas as HTMLCanvasElement).getContext('2d')!.getImageData(20, 1, 1, 1).data])
    await page.emulateMedia({ colorScheme: 'light' })
    await expect.poll(pixel).toEqual([236, 238, 241, 255])
    await page.emulateMedia({ colorScheme: 'dark' })
    await expect.poll(pixel).toEqual([38, 42, 49, 255])
  })

  it('needs nothing else, and fails nowhere', () => expect(problems).toEqual([]))
})
