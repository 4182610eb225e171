import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspectCache } from '@kvfold/kv-core'
import { chromium, type Browser, type BrowserContext } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { executablePath } from './chromium.ts'
import { DOCUMENT, NUMBER, Playground, QUESTION } from './playground.ts'
import { serveStatic } from './static-server.ts'

const SNAPKV = 'snapkv(budget=192, window=16, kernel=7) + kivi(bits=4, residual=32)'
const KIVI = 'kivi(bits=4, residual=32)'
const command = fileURLToPath(new URL('../../cli/bin/kvfold.js', import.meta.url))

describe.skipIf(!executablePath)('the page, from a static host', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvfold-page-'))
  let host: Awaited<ReturnType<typeof serveStatic>>
  let browser: Browser
  let context: BrowserContext
  let playground: Playground

  beforeAll(async () => {
    host = await serveStatic()
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
    context = await browser.newContext({ viewport: { width: 1024, height: 900 } })
    await context.grantPermissions(['clipboard-read', 'clipboard-write'])
  })
  afterAll(async () => {
    await browser?.close()
    await host?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  beforeEach(async () => {
    playground = await Playground.open(context, host.url)
    await playground.ready()
  })
  afterEach(async () => {
    await playground.page.close()
    expect(playground.problems).toEqual([])
  })

  it('answers with a full and a compressed cache, and shows what was kept', async () => {
    const { page } = playground
    await playground.fill(DOCUMENT, QUESTION, SNAPKV)
    await page.getByLabel('The policy sees the question').check()
    const moved = await playground.layoutShift()
    await playground.ask()
    expect((await playground.layoutShift()) - moved).toBeLessThan(0.005)
    expect(await playground.answer('full')).toContain(NUMBER)
    expect(await playground.answer('small')).toContain(NUMBER)
    expect(await playground.headline()).toMatch(/^\d[\d.]+× smaller, same answer$/)
    expect(await playground.fact('small', 'rows')).not.toBe(await playground.fact('full', 'rows'))
    expect(Number(await playground.fact('small', 'tokens/s'))).toBeGreaterThan(1)
    const step = page.getByLabel('step', { exact: true })
    const last = await step.inputValue()
    await step.press('ArrowLeft')
    expect(Number(await step.inputValue())).toBe(Number(last) - 1)
  })

  it('works where the browser keeps nothing for it', async () => {
    const { page } = playground
    await page.addInitScript(() => {
      const deny = (): never => {
        throw new DOMException('denied', 'SecurityError')
      }
      Object.defineProperty(window, 'localStorage', { get: deny })
    })
    await page.reload()
    await playground.ready()
    await page.getByRole('button', { name: 'Dark' }).click()
    expect(await page.locator('html').getAttribute('data-theme')).toBe('dark')
  })

  it('asks again without reading the document again', async () => {
    const { page } = playground
    await playground.fill(DOCUMENT, QUESTION, SNAPKV)
    await playground.ask()
    expect(await page.getByText('read before').count()).toBe(0)
    await playground.fill(DOCUMENT, QUESTION, KIVI)
    await playground.ask()
    // The full cache is the same whatever the policy is.
    expect(await page.getByText('read before').count()).toBe(1)
    const answer = await playground.answer('small')
    await playground.ask()
    expect(await page.getByText('read before').count()).toBe(2)
    expect(await playground.answer('small')).toBe(answer)
    expect(answer).toContain(NUMBER)
  })

  it('saves the compressed cache, and answers from the file after a reload', async () => {
    const { page } = playground
    await playground.fill(DOCUMENT, QUESTION, KIVI)
    await playground.ask()
    const answer = await playground.answer('small')
    const sizes: number[] = []
    for (const coded of [false, true]) {
      await page.getByLabel('Coded: smaller').setChecked(coded)
      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Save' }).click()])
      await download.saveAs(join(folder, `${coded}.kv`))
      const { policy, bytes } = await inspectCache(readFileSync(join(folder, `${coded}.kv`)))
      expect(policy).toBe(KIVI)
      sizes.push(bytes)
    }
    expect(sizes[1]).toBeLessThan(sizes[0])
    for (const name of ['false.kv', 'true.kv']) {
      await page.reload()
      await page.getByLabel('Open or drop a file').setInputFiles(join(folder, name))
      await page.getByText('The cache is loaded').waitFor()
      expect(await page.getByLabel('Policy as text').inputValue()).toBe(KIVI)
      await playground.question.fill(QUESTION)
      await playground.ask()
      expect(await playground.answer('small')).toBe(answer)
    }
  })

  it('opens what `kvfold cache save` wrote, and says what is wrong with other files', async () => {
    const { page } = playground
    const [text, file, damaged] = ['text.txt', 'node.kv', 'damaged.kv'].map((name) => join(folder, name))
    writeFileSync(text, DOCUMENT)
    const { stderr } = spawnSync(process.execPath, [command, 'cache', 'save', file, '-c', text, '-p', KIVI, '--coding', 'cachegen'], {
      encoding: 'utf8',
    })
    expect(stderr).not.toContain('Error')
    const open = page.getByLabel('Open or drop a file')
    await open.setInputFiles(file)
    await page.getByText('node.kv').waitFor()
    expect(await page.getByLabel('Policy as text').inputValue()).toBe(KIVI)
    expect(await playground.axis('Score').inputValue()).toBe('')
    await playground.question.fill(QUESTION)
    await playground.ask()
    expect(await playground.answer('small')).toContain(NUMBER)

    const bytes = readFileSync(file)
    bytes[bytes.length - 2000] ^= 1
    writeFileSync(damaged, bytes)
    await open.setInputFiles(damaged)
    await expect.poll(() => playground.headline()).toContain('damaged.kv')
    // What was open stays open.
    expect(await page.getByText('node.kv').isVisible()).toBe(true)
    await page.getByRole('button', { name: 'Back to a text' }).click()
    expect(await page.getByLabel('Text of the document').isVisible()).toBe(true)
  })

  it('explains a conflict when it is chosen', async () => {
    const { page } = playground
    await page.getByLabel('Policy as text').fill('snapkv(budget=25%)')
    await playground.axis('Select').selectOption('chunkkv')
    expect(await page.getByLabel('Policy as text').inputValue()).toBe('snapkv(budget=25%) + chunkkv')
    await playground.axis('Score').selectOption('streaming')
    expect(await playground.problem()).toMatch(/streaming and chunkkv both decide the axis "select"/)
    expect(await page.getByRole('button', { name: 'Ask both' }).isDisabled()).toBe(true)
    await playground.axis('Select').selectOption('')
    await page.getByLabel('Size of the budget').fill('50')
    expect(await page.getByLabel('Policy as text').inputValue()).toBe('streaming(budget=51%)')
    expect(await page.locator('option[value="disk"]').first().isDisabled()).toBe(true)
  })

  it('gives a link that brings the setting back', async () => {
    const { page } = playground
    await page.getByLabel('Which document').selectOption('records')
    await page.getByLabel('Policy as text').fill(`h2o(budget=10%) + kivi`)
    await page.getByLabel('The policy sees the question').check()
    const question = await playground.question.inputValue()
    await page.getByRole('button', { name: 'Copy link' }).click()
    await page.getByText('Copied.').waitFor()
    const other = await Playground.open(context, await page.evaluate(() => navigator.clipboard.readText()))
    expect(await other.page.getByLabel('Which document').inputValue()).toBe('records')
    expect(await other.question.inputValue()).toBe(question)
    expect(await other.page.getByLabel('Policy as text').inputValue()).toBe('h2o(budget=10%) + kivi')
    expect(await other.page.getByLabel('The policy sees the question').isChecked()).toBe(true)
    await other.page.close()
  })

  it('stops when it is told to', async () => {
    const { page } = playground
    await page.getByLabel('Which document').selectOption('numbers')
    await page.getByRole('button', { name: 'Ask both' }).click()
    await page.getByText(/Reading, \d+%/).waitFor()
    await page.getByRole('button', { name: 'Stop' }).click()
    await page.getByText('Stopped.').waitFor({ timeout: 2000 })
    expect(await page.getByRole('button', { name: 'Ask both' }).isEnabled()).toBe(true)
  })

  it('fits a phone, and names all its controls', async () => {
    const { page } = playground
    await playground.fill(DOCUMENT, QUESTION, SNAPKV)
    await playground.ask()
    for (const details of await page.locator('details').all()) await details.evaluate((node: HTMLDetailsElement) => (node.open = true))
    for (const width of [1440, 360]) {
      await page.setViewportSize({ width, height: 740 })
      await expect.poll(() => playground.overflow()).toBe(0)
    }
    const nameless = await page
      .locator('input, select, textarea, button')
      .evaluateAll((nodes) =>
        (nodes as HTMLInputElement[])
          .filter((node) => !node.labels?.length && !node.ariaLabel && !node.textContent?.trim())
          .map((node) => node.outerHTML),
      )
    expect(nameless).toEqual([])
  })

  it('opens without a network, and answers', async () => {
    const { page } = playground
    await page.evaluate(() => navigator.serviceWorker.ready)
    await host.close()
    const before = playground.problems.length
    await page.reload()
    await playground.ready()
    await playground.fill(DOCUMENT, QUESTION, KIVI)
    await playground.ask()
    expect(await playground.answer('small')).toContain(NUMBER)
    // The browser itself says that nobody answers.
    expect(playground.problems.splice(before).filter((problem) => !problem.includes('ERR_CONNECTION_REFUSED'))).toEqual([])
  })
})
