// How fast SmolLM2-135M (Q4_1) reads and writes here and in other runtimes, one thread each: `node apps/cli/bench/runtimes.mjs [--json FILE]`, after
// a build and `node tooling/scripts/llama-parity.mjs`, which fetches the model and llama.cpp. wllama and onnxruntime-web are fetched here, and ONNX files
// made from the model with python3. Each runtime is a process of its own; they take turns, and the best round counts.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { json: { type: 'string' }, rounds: { type: 'string', default: '3' } } })
const root = fileURLToPath(new URL('../../..', import.meta.url))
const model = join(root, '.cache/llama-parity/SmolLM2-135M-Instruct.Q4_1.gguf')
const peer = join(root, '.cache/llama-parity/peer')
const folder = join(root, '.cache/runtimes')
const PEERS = ['@wllama/wllama@3.8.1', 'onnxruntime-web@1.30.0']
const FORMS = ['f32', 'q8', 'q4']
/** Tokens of the prompt, and made. */
const RUNS = [
  [128, 64],
  [2048, 64],
]

if (!existsSync(model) || !existsSync(peer)) {
  console.log('SKIPPED: run node tooling/scripts/llama-parity.mjs first, which fetches the model and llama.cpp')
  process.exit(0)
}
mkdirSync(folder, { recursive: true })
if (!existsSync(join(folder, 'node_modules/onnxruntime-web'))) {
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n')
  execFileSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...PEERS], { cwd: folder, stdio: 'inherit' })
}
if (FORMS.some((form) => !existsSync(join(folder, `${form}.onnx`)))) {
  const python = join(folder, 'python/bin/python')
  execFileSync('python3', ['-m', 'venv', join(folder, 'python')], { stdio: 'inherit' })
  execFileSync(python, ['-m', 'pip', 'install', '--quiet', 'onnx', 'onnxruntime', 'numpy', 'gguf'], { stdio: 'inherit' })
  const make = fileURLToPath(new URL('runtimes/make-onnx.py', import.meta.url))
  for (const form of FORMS) execFileSync(python, [make, model, join(folder, `${form}.onnx`), form], { stdio: 'inherit' })
}

const RUNTIMES = [
  ['KVFold, Node', 'kvfold-node.mjs'],
  ['KVFold, Chromium', 'kvfold-chromium.mjs'],
  ['wllama, Chromium', 'wllama-chromium.mjs'],
  ...FORMS.map((form) => [`onnxruntime-web ${form}, Chromium`, 'onnx-chromium.mjs', form]),
  ['llama.cpp, native', 'llama-cpp.mjs'],
]

const best = new Map()
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [name, file, form] of RUNTIMES) {
    for (const [prompt, made] of RUNS) {
      const script = fileURLToPath(new URL(`runtimes/${file}`, import.meta.url))
      const input = JSON.stringify({ root, model, peer, folder, prompt, made, form })
      const { status, stdout, stderr } = spawnSync(process.execPath, [script, input], { encoding: 'utf8', timeout: 300_000 })
      if (status !== 0) throw new Error(`${name}: ${stderr}`)
      const { promptTokens, promptMs, stepMs } = JSON.parse(stdout.trim().split('\n').at(-1))
      const key = `${name}/${prompt}`
      const before = best.get(key) ?? { runtime: name, promptTokens, promptMs: Infinity, stepMs: Infinity }
      best.set(key, { ...before, promptMs: Math.min(before.promptMs, promptMs), stepMs: Math.min(before.stepMs, stepMs) })
      process.stderr.write('.')
    }
  }
}
process.stderr.write('\n')
const rows = [...best.values()].map((row) => ({
  ...row,
  promptTokensPerSecond: (row.promptTokens * 1000) / row.promptMs,
  tokensPerSecond: 1000 / row.stepMs,
}))
for (const { runtime, promptTokens, promptTokensPerSecond, tokensPerSecond } of rows)
  console.log(
    `${runtime.padEnd(30)} after ${String(promptTokens).padStart(4)} tokens: reads ${promptTokensPerSecond.toFixed(0).padStart(5)} tokens/s, writes ${tokensPerSecond.toFixed(1).padStart(6)} tokens/s`,
  )
if (values.json) writeFileSync(values.json, `${JSON.stringify({ model: 'SmolLM2-135M-Instruct Q4_1', rows }, null, 2)}\n`)
