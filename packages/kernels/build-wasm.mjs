// Compiles assembly/ to WebAssembly and writes it, as base64, to src/wasm/binary.generated.ts. Does nothing while the sources are the same.
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import asc from 'assemblyscript/asc'

const here = new URL('./', import.meta.url)
const options = ['--runtime', 'stub', '--importMemory', '--enable', 'simd', '--noAssert', '-O3', '--converge']
const sources = readdirSync(new URL('assembly/', here))
  .filter((name) => name.endsWith('.ts'))
  .sort()
const target = new URL('src/wasm/binary.generated.ts', here)

const hash = createHash('sha256').update(asc.version).update(options.join(' '))
for (const name of sources) hash.update(name).update(readFileSync(new URL(`assembly/${name}`, here)))
const stamp = `// Made by build-wasm.mjs from sources ${hash.digest('hex').slice(0, 32)}`

if (!existsSync(target) || !readFileSync(target, 'utf8').startsWith(stamp)) {
  let binary
  const { error, stderr } = await asc.main(['index.ts', '--outFile', 'kernels.wasm', ...options], {
    readFile: (name) => {
      const file = new URL(`assembly/${name}`, here)
      return existsSync(file) ? readFileSync(file, 'utf8') : null
    },
    writeFile: (name, content) => {
      if (name.endsWith('.wasm')) binary = content
    },
    listFiles: () => [],
  })
  if (error || !binary) {
    console.error(stderr.toString() || error)
    process.exit(1)
  }
  writeFileSync(
    target,
    `${stamp}\n/** The compiled kernels. */\nexport const binary: string = '${Buffer.from(binary).toString('base64')}'\n`,
  )
}
