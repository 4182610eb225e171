// Takes the pictures of README: `node tooling/scripts/screenshots.mjs`, after a build. They show what the page and the command show, with this machine's numbers.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const root = fileURLToPath(new URL('../..', import.meta.url))
const images = join(root, 'docs/images')
const kvfold = join(root, 'apps/cli/bin/kvfold.js')
mkdirSync(images, { recursive: true })

/** The page after a question, in both colour schemes. */
async function page() {
  const server = spawn(process.execPath, [kvfold, 'serve', '--port', '0'], { stdio: ['ignore', 'ignore', 'pipe'] })
  const [line] = await once(createInterface(server.stderr), 'line')
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
  try {
    const tab = await browser.newPage({ viewport: { width: 1440, height: 1300 } })
    await tab.goto(/http:\S+/.exec(line)[0])
    await tab.getByRole('button', { name: 'Ask both' }).click({ timeout: 60_000 })
    await tab.getByLabel('step', { exact: true }).waitFor({ timeout: 120_000 })
    await tab.evaluate(() => document.activeElement.blur())
    for (const colorScheme of ['light', 'dark']) {
      await tab.emulateMedia({ colorScheme })
      await tab.waitForTimeout(500)
      await tab.screenshot({ path: join(images, `page-${colorScheme}.png`) })
    }
  } finally {
    await browser.close()
    server.kill('SIGTERM')
  }
}

/** What snapkv keeps of a document, when it saw the question. */
async function still() {
  const { heldOutDocuments } = await import('@kvfold/eval/node')
  const text = (await heldOutDocuments()).join('\n')
  const middle = text.indexOf('. ', 5000) + 2
  const folder = mkdtempSync(join(tmpdir(), 'kvfold-still-'))
  writeFileSync(
    join(folder, 'document.txt'),
    `${text.slice(0, middle)}The magic number of quiet harbor is #4821375. ${text.slice(middle, 9000)}`,
  )
  const asked = ['-c', 'document.txt', '-q', 'What is the magic number of quiet harbor?', '--question-aware']
  const policy = 'snapkv(budget=10%, window=16, kernel=7) + kivi(bits=4, residual=32)'
  const { status } = spawnSync(process.execPath, [kvfold, 'run', ...asked, '-p', policy, '--png', join(images, 'kept.png')], {
    cwd: folder,
    stdio: 'inherit',
  })
  rmSync(folder, { recursive: true })
  if (status !== 0) throw new Error('kvfold run failed')
}

await page()
await still()
