// Compiles assembly/ to WebAssembly and writes it to src/wasm/binary.generated.ts. Does nothing while the sources are the same. In hexadecimal digits: what both
// builds have in common is the same text there, wherever it begins, and in base64 it is not. Compressed, that is 17 kB instead of 28.
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import asc from 'assemblyscript/asc'

const here = new URL('./', import.meta.url)
const options = ['--runtime', 'stub', '--importMemory', '--enable', 'simd', '--noAssert', '-O3', '--converge', '--disableWarning', '112']
/** What the second build has besides. */
const relaxed = ['--enable', 'relaxed-simd']
/** For a memory that threads share. */
const shared = ['--enable', 'threads', '--sharedMemory', '--maximumMemory', '65536']
const sources = readdirSync(new URL('assembly/', here))
  .filter((name) => name.endsWith('.ts'))
  .sort()
const target = new URL('src/wasm/binary.generated.ts', here)

const hash = createHash('sha256')
  .update(asc.version)
  .update([...options, ...relaxed, ...shared].join(' '))
  .update(readFileSync(new URL(import.meta.url)))
for (const name of sources) hash.update(name).update(readFileSync(new URL(`assembly/${name}`, here)))
const stamp = `// Made by build-wasm.mjs from sources ${hash.digest('hex').slice(0, 32)}`

if (!existsSync(target) || !readFileSync(target, 'utf8').startsWith(stamp)) {
  writeFileSync(
    target,
    `${stamp}
/** Compiled kernels, and what stands between two of their bytes where the memory is shared. */
export interface Binary {
  bytes: string
  shared: { from: number; to: number; bytes: string }
}
export const plain: Binary = ${await both(options)}
/** The same with relaxed SIMD. */
export const relaxed: Binary = ${await both([...options, ...relaxed])}
/** How relaxed SIMD multiplies bytes. */
export const relaxedDot: string = '${(await compile('relaxed-dot.ts', ['--runtime', 'stub', '--noExportMemory', '--enable', 'simd', ...relaxed, '-O3'])).toString('hex')}'
`,
  )
}

/** A build for a memory of one's own, and for a shared one. */
async function both(flags) {
  const alone = await compile('index.ts', flags)
  const { from, to, bytes } = difference(alone, await compile('index.ts', [...flags, ...shared]))
  return `{ bytes: '${alone.toString('hex')}', shared: { from: ${from}, to: ${to}, bytes: '${bytes.toString('hex')}' } }`
}

async function compile(entry, flags) {
  let binary
  const { error, stderr } = await asc.main([entry, '--outFile', 'kernels.wasm', ...flags], {
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
