import { createReadStream, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { chromium } from 'playwright-core'

const TYPES = { js: 'text/javascript', mjs: 'text/javascript', wasm: 'application/wasm', html: 'text/html' }

/** Opens a page that is given files by name, and runs a function of the module `main.js` in it. Prints what it returns. */
export async function inChromium(files, texts, argument) {
  const server = createServer((request, response) => {
    const name = request.url.slice(1) || 'index.html'
    const text = name === 'index.html' ? '<!doctype html><title>runtime</title>' : texts[name]
    response.setHeader('content-type', TYPES[name.split('.').at(-1)] ?? 'application/octet-stream')
    if (text !== undefined) response.end(text)
    else if (files[name]) {
      response.setHeader('content-length', statSync(files[name]).size)
      createReadStream(files[name]).pipe(response)
    } else {
      response.statusCode = 404
      response.end()
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
  try {
    const page = await browser.newPage()
    page.on('pageerror', (error) => console.error(error.message))
    await page.goto(`http://127.0.0.1:${server.address().port}/`)
    console.log(JSON.stringify(await page.evaluate(async ([main, given]) => (await import(main)).run(given), ['/main.js', argument])))
  } finally {
    await browser.close()
    server.close()
    server.closeAllConnections()
  }
}
