// What more threads gain for whole models: prompts and decode steps with one thread and with several, in turns in one process, medians.
// `node apps/cli/bench/threads.mjs [THREADS] [MODEL ...]`, after a build; default: 2 threads, the reference model, and SmolLM2-135M if
// `node tooling/scripts/llama-parity.mjs` has fetched it.
import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createKernels, threadedKernels } from '@kvfold/kernels'
import { heldOutDocuments } from '@kvfold/eval/node'
import { KvCache } from '@kvfold/kv-core'
import { loadModel } from '@kvfold/models/node'
import { modelUrl } from '@kvfold/reference-model'
import { clock, median } from './clock.mjs'

const [threads = '2', ...given] = process.argv.slice(2)
const smol = fileURLToPath(new URL('../../../.cache/llama-parity/SmolLM2-135M-Instruct.Q4_1.gguf', import.meta.url))
const models = given.length > 0 ? given : [fileURLToPath(modelUrl), smol].filter(existsSync)
const documents = (await heldOutDocuments()).join('\n')

const many = await threadedKernels({ threads: Number(threads) })
for (const path of models) {
  const sides = []
  for (const kernels of [undefined, many]) {
    const { model, tokenizer } = await loadModel(path, { kernels })
    const cacheOf = () => new KvCache(model.shape, { kernels: kernels ?? createKernels(), model })
    sides.push({ model, tokenizer, cacheOf, prompt: [], steps: [] })
  }
  const tokens = sides[0].tokenizer.encode(documents)
  const name = basename(path)
  for (const [count, rounds] of [
    [100, 9],
    [512, 5],
    [4096, 1],
    [8000, 1],
  ]) {
    for (const side of sides) Object.assign(side, { prompt: [], steps: [] })
    for (let round = rounds > 1 ? -1 : 0; round < rounds; round++) {
      for (const side of sides) {
        await side.cache?.dispose()
        side.cache = side.cacheOf()
        const time = await clock(() => side.model.forward(tokens.slice(0, count), side.cache))
        if (round >= 0) side.prompt.push(time)
      }
    }
    show(`${name}: prompt of ${count} tokens`, (side) => side.prompt)
    if (count === 512 || count === 4096) continue
    for (let round = -3; round < 41; round++) {
      for (const { model, cache, steps } of sides) {
        const time = await clock(() => model.forward([tokens[round + 50]], cache))
        if (round >= 0) steps.push(time)
      }
    }
    show(`${name}: decode step after ${count} tokens`, (side) => side.steps)
  }
  for (const { model, cache } of sides) {
    await cache.dispose()
    model.dispose()
  }

  function show(what, timesOf) {
    const [one, several] = sides.map((side) => median(timesOf(side)))
    console.log(
      `${what.padEnd(64)} ${one.toFixed(1).padStart(9)} ms ${several.toFixed(1).padStart(9)} ms  gain ${(one / several).toFixed(2)}`,
    )
  }
}
await many.dispose()
