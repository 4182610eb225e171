import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openGguf, tokenizerFromGguf } from '@kvfold/models'
import { fileSource } from '@kvfold/models/node'
import { inChromium } from './in-chromium.mjs'
import { promptText } from './prompt.mjs'

const { folder, model, prompt, made, form } = JSON.parse(process.argv[2])
const ort = join(folder, 'node_modules/onnxruntime-web/dist')
const file = await fileSource(model)
const { metadata, config } = await openGguf(file)
await file.close()
const code = `
import * as ort from '/ort.wasm.min.mjs'
export async function run({ tokens, made, kvHeads, headDim }) {
  ort.env.wasm.numThreads = 1
  ort.env.wasm.wasmPaths = location.origin + '/'
  const bytes = new Uint8Array(await (await fetch('/model.onnx')).arrayBuffer())
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] })
  const feeds = Object.fromEntries(
    session.inputNames.filter((name) => name.startsWith('past')).map((name) => [name, new ort.Tensor('float32', new Float32Array(0), [1, kvHeads, 0, headDim])]),
  )
  let total = 0
  const step = async (ids) => {
    total += ids.length
    feeds.input_ids = new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length])
    feeds.attention_mask = new ort.Tensor('int64', new BigInt64Array(total).fill(1n), [1, total])
    const results = await session.run(feeds)
    for (const name of session.inputNames) if (name.startsWith('past')) feeds[name] = results[name.replace('past_key_values', 'present')]
    const logits = results.logits.data
    let best = 0
    for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i
    return best
  }
  const start = performance.now()
  let token = await step(tokens)
  const first = performance.now()
  for (let i = 1; i < made; i++) token = await step([token])
  return { promptTokens: tokens.length, promptMs: first - start, stepMs: (performance.now() - first) / (made - 1) }
}`
const glue = ['ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'].map((name) => [name, join(ort, name)])
await inChromium(
  { 'model.onnx': join(folder, `${form}.onnx`), ...Object.fromEntries(glue) },
  { 'main.js': code, 'ort.wasm.min.mjs': readFileSync(join(ort, 'ort.wasm.min.mjs'), 'utf8') },
  { tokens: tokenizerFromGguf(metadata).encode(promptText(prompt)), made, kvHeads: config.kvHeads, headDim: config.headDim },
)
