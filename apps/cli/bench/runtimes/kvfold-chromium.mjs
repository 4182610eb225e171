import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { inChromium } from './in-chromium.mjs'
import { promptText } from './prompt.mjs'

const { root, model, prompt, made } = JSON.parse(process.argv[2])
const here = dirname(fileURLToPath(import.meta.url))
const require = createRequire(join(root, 'packages/models/package.json'))
const backend = dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json'))
const code = `
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm'
import { env, setBackend } from '@tensorflow/tfjs-core'
import { createKernels } from '@kvfold/kernels'
import { KvCache } from '@kvfold/kv-core'
import { bytesSource, generate, loadGguf } from '@kvfold/models'
import { timed } from '${here}/timed.mjs'
export async function run({ text, made }) {
  setWasmPaths('/')
  env().set('WASM_HAS_MULTITHREAD_SUPPORT', false)
  if (!(await setBackend('wasm'))) throw new Error('no wasm')
  const bytes = new Uint8Array(await (await fetch('/model.gguf')).arrayBuffer())
  const { model, tokenizer } = await loadGguf(bytesSource('model.gguf', bytes))
  const cache = new KvCache(model.shape, { kernels: createKernels(), model })
  const tokens = tokenizer.encode(text)
  return { promptTokens: tokens.length, ...(await timed(generate(model, cache, tokens, { maxTokens: made, stop: [] }))) }
}`
const { outputFiles } = await build({
  stdin: { contents: code, resolveDir: join(root, 'packages/models'), loader: 'js' },
  bundle: true,
  write: false,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  minify: true,
  // Its package.json has this build where esbuild does not look.
  alias: { '@huggingface/gguf': join(dirname(require.resolve('@huggingface/gguf')), 'browser/index.mjs') },
  logLevel: 'error',
  logOverride: { 'ignored-bare-import': 'silent' },
})
const wasm = (name) => [name, join(backend, 'dist', name)]
await inChromium(
  { 'model.gguf': model, ...Object.fromEntries(['tfjs-backend-wasm.wasm', 'tfjs-backend-wasm-simd.wasm'].map(wasm)) },
  { 'main.js': outputFiles[0].text },
  { text: promptText(prompt), made },
)
