import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inChromium } from './in-chromium.mjs'
import { promptText } from './prompt.mjs'

const { folder, model, prompt, made } = JSON.parse(process.argv[2])
const wllama = join(folder, 'node_modules/@wllama/wllama/esm')
const code = `
import { Wllama, LoggerWithoutDebug } from '/wllama.js'
export async function run({ text, made }) {
  const wllama = new Wllama({ default: '/wllama.wasm' }, { logger: LoggerWithoutDebug })
  const blob = await (await fetch('/model.gguf')).blob()
  await wllama.loadModel([blob], { n_ctx: 4096, n_threads: 1, n_gpu_layers: 0, n_parallel: 1 })
  let last
  const stream = await wllama.createCompletion({ prompt: text, max_tokens: made, temperature: 0, stream: true, ignore_eos: true, timings_per_token: true })
  for await (const chunk of stream) last = chunk.timings ?? last
  return { promptTokens: last.prompt_n, promptMs: last.prompt_ms, stepMs: last.predicted_per_token_ms }
}`
await inChromium(
  { 'model.gguf': model, 'wllama.wasm': join(wllama, 'wasm/wllama.wasm') },
  { 'main.js': code, 'wllama.js': readFileSync(join(wllama, 'index.js'), 'utf8') },
  { text: promptText(prompt), made },
)
