// Compiles assembly/ to WebAssembly and writes it, as base64, to src/wasm/binary.generated.ts. Does nothing while the sources are the same.
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import asc from 'assemblyscript/asc'

const here = new URL('./', import.meta.url)
const options = ['--runtime', 'stub', '--importMemory', '--enable', 'simd', '--noAssert', '-O3', '--converge']
/** For a memory that threads share. */
const shared = ['--enable', 'threads', '--sharedMemory', '--maximumMemory', '65536']
const sources = readdirSync(new URL('assembly/', here))
  .filter((name) => name.endsWith('.ts'))
  .sort()
const target = new URL('src/wasm/binary.generated.ts', here)

const hash = createHash('sha256')
  .update(asc.version)
  .update([...options, ...shared].join(' '))
  .update(readFileSync(new URL(import.meta.url)))
for (const name of sources) hash.update(name).update(readFileSync(new URL(`assembly/${name}`, here)))
const stamp = `// Made by build-wasm.mjs from sources ${hash.digest('hex').slice(0, 32)}`

if (!existsSync(target) || !readFileSync(target, 'utf8').startsWith(stamp)) {
  const plain = await compile(options)
  const { from, to, bytes } = difference(plain, await compile([...options, ...shared]))
  writeFileSync(
    target,
    `${stamp}
/** The compiled kernels. */
export const binary: string = '${plain.toString('base64')}'
/** What stands between two of its bytes where the memory is shared. */
export const shared: { from: number; to: number; bytes: string } = { from: ${from}, to: ${to}, bytes: '${bytes.toString('base64')}' }
`,
  )
}

async function compile(flags) {
  let binary
  const { error, stderr } = await asc.main(['index.ts', '--outFile', 'kernels.wasm', ...flags], {
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
  return Buffer.from(binary)
}

/** Two builds differ only in how they import the memory, so only that is written twice. */
function difference(one, other) {
  const most = Math.min(one.length, other.length)
  let from = 0
  while (from < most && one[from] === other[from]) from++
  let after = 0
  while (after < most - from && one.at(-1 - after) === other.at(-1 - after)) after++
  return { from, to: one.length - after, bytes: other.subarray(from, other.length - after) }
}
