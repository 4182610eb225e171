import { createKernels } from '@kvfold/kernels'
import { KvCache } from '@kvfold/kv-core'
import { generate } from '@kvfold/models'
import { loadModel } from '@kvfold/models/node'
import { promptText } from './prompt.mjs'
import { timed } from './timed.mjs'

const { model: path, prompt, made } = JSON.parse(process.argv[2])
const { model, tokenizer } = await loadModel(path)
const cache = new KvCache(model.shape, { kernels: createKernels(), model })
const tokens = tokenizer.encode(promptText(prompt))
console.log(
  JSON.stringify({ promptTokens: tokens.length, ...(await timed(generate(model, cache, tokens, { maxTokens: made, stop: [] }))) }),
)
