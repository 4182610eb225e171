import { expect } from 'vitest'
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core'

/** A document that is short, with a fact in it. */
export const DOCUMENT = Array.from(
  { length: 24 },
  (_, i) =>
    `The ship went on for day ${i + 1} without a sight of land, and the men were tired of it.${i === 9 ? ' The magic number of quiet harbor is #4821375.' : ''}`,
).join('\n\n')

export const QUESTION = 'What is the magic number of quiet harbor?'
export const NUMBER = '4821375'

/** The page in a browser, as a user finds their way through it. */
export class Playground {
  readonly page: Page
  /** What the page complained about. */
  readonly problems: string[] = []

  private constructor(page: Page) {
    this.page = page
    page.setDefaultTimeout(10_000)
    page.on('pageerror', (error) => this.problems.push(error.message))
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') this.problems.push(message.text())
    })
  }

  static async open(browser: Browser | BrowserContext, url: string): Promise<Playground> {
    const playground = new Playground(await browser.newPage())
    // A violation that a script catches is on no console.
    await playground.page.addInitScript(() => {
      addEventListener('securitypolicyviolation', ({ violatedDirective }) =>
        console.error(`Against the content policy: ${violatedDirective}`),
      )
    })
    await playground.page.goto(url)
    return playground
  }

  async ready(): Promise<void> {
    await this.page.getByText('The reference model is ready').waitFor()
  }

  get question(): Locator {
    return this.page.getByRole('combobox', { name: 'Question', exact: true })
  }

  /** What is chosen for an axis. */
  axis(label: string): Locator {
    return this.page.getByRole('combobox', { name: label, exact: true })
  }

  async fill(document: string, question: string, policy: string): Promise<void> {
    await this.page.getByLabel('Text of the document').fill(document)
    await this.question.fill(question)
    await this.page.getByLabel('Policy as text').fill(policy)
  }

  /** Asks, and waits until both have answered. */
  async ask(): Promise<void> {
    await this.page.getByRole('button', { name: /^Ask/ }).click()
    await this.page.locator('.headline', { hasText: 'smaller' }).waitFor()
    await expect.poll(() => this.page.getByRole('button', { name: 'Stop' }).isDisabled()).toBe(true)
  }

  answer(side: 'full' | 'small'): Promise<string> {
    return this.page.locator(`.answer.${side} .text`).innerText()
  }

  /** A number of one side, such as `rows`, as it is written. */
  fact(side: 'full' | 'small', name: string): Promise<string> {
    return this.page.locator(`.answer.${side} dl > div`, { hasText: name }).locator('dd').innerText()
  }

  headline(): Promise<string> {
    return this.page.locator('.headline').innerText()
  }

  problem(): Promise<string> {
    return this.page.locator('#policy-problem').innerText()
  }

  /** How much moved by itself so far: the browser's own measure. */
  layoutShift(): Promise<number> {
    return this.page.evaluate(
      () =>
        new Promise((resolve) => {
          new PerformanceObserver((list) => {
            const shifts = list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[]
            resolve(shifts.filter(({ hadRecentInput }) => !hadRecentInput).reduce((sum, { value }) => sum + value, 0))
          }).observe({ type: 'layout-shift', buffered: true })
          setTimeout(() => resolve(0), 200)
        }),
    )
  }

  /** Pixels by which the page is wider than its window. */
  overflow(): Promise<number> {
    return this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
  }
}
