import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promptText } from './prompt.mjs'
import { timed } from './timed.mjs'

const { model: modelPath, peer, prompt, made } = JSON.parse(process.argv[2])
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(join(peer, 'node_modules/node-llama-cpp/dist/index.js')).href)
const logLevel = LlamaLogLevel.error
const llama = await getLlama({ gpu: false, maxThreads: 1, build: 'never', skipDownload: true, logLevel, progressLogs: false })
const model = await llama.loadModel({ modelPath })
const context = await model.createContext({ contextSize: 4096, threads: 1 })
const sequence = context.getSequence()
const tokens = model.tokenize(promptText(prompt), true)
const steps = sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })
console.log(JSON.stringify({ promptTokens: tokens.length, ...(await timed(steps, made)) }))
await llama.dispose()
process.exit(0)
