// Measures what docs/quantisation.md shows. `node tooling/scripts/measure-quantisation.mjs NAME...` runs some parts (after a build) and keeps what
// they say in docs/results; without names it runs all (an hour on one core). The page and its picture are then written from what is there;
// --page writes only those.
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { evaluate } from '@kvfold/eval'
import { heldOutDocuments } from '@kvfold/eval/node'
import * as eviction from '@kvfold/eviction'
import { createKernels } from '@kvfold/kernels'
import { affine, defineMethod, KvCache, RecordedPrompt, Registry } from '@kvfold/kv-core'
import { loadModel, writeWhole } from '@kvfold/models/node'
import * as quant from '@kvfold/quant'
import { modelUrl } from '@kvfold/reference-model'
import { z } from 'zod'
import { resultFile, writeQuantisationPage } from './quantisation-page.mjs'
import { namedParts, writeRows } from './results.mjs'

/** KIVI's groups of 32 along the wrong axes: keys per token, values per channel. Only to be compared with. */
const swapped = defineMethod({
  name: 'swapped-kivi',
  axes: ['encode'],
  summary: 'keys per token, values per channel',
  params: z.object({}),
  create: () => ({
    encode: {
      classes: [
        {
          name: 'swapped',
          keys: affine({ bits: 2, axis: 'token', group: 32 }),
          values: affine({ bits: 2, axis: 'channel', group: 32 }),
        },
      ],
      flush: { keys: { keep: 32, step: 1 }, values: { keep: 0, step: 32 } },
    },
  }),
})

const registry = new Registry({ eviction, quant, swapped: { swapped } })

/** By nominal bits. */
const METHODS = {
  8: ['int8', 'kivi(bits=8, residual=32)', 'xquant(bits=8)', 'cachegen(level=3)'],
  4: [
    'int4',
    'flexgen',
    'kivi(bits=4, residual=32)',

    'gear(bits=4)',
    'zipcache(low=4)',
    'zipcache',
    'mikv',
    'kvquant(bits=4)',
    'turboquant(bits=4)',
    'xquant(bits=4)',
    'xquant-cl(bits=4)',
    'cachegen(level=2)',
    'cachegen(level=1)',
    'cachegen(level=2, delta=true)',
  ],
  3: ['kvquant(bits=3)', 'turboquant(bits=3)'],
  2: [
    'kivi(bits=2, group=32, residual=32)',
    'swapped-kivi',
    'flexgen(bits=2, group=32)',
    'gear(bits=2)',
    'kvquant(bits=2)',
    'turboquant(bits=2)',
    'xquant(bits=2)',
    'xquant-cl(bits=2)',
  ],
}
const ALL = Object.values(METHODS).flat()
/** What needs a calibrated model; the reference model is. */
const isCalibrated = (text) => text.startsWith('kvquant')
const SMOLLM = process.env.KVFOLD_SMOLLM ?? 'HuggingFaceTB/SmolLM2-135M-Instruct'

async function loaded(name) {
  const { model, tokenizer } = await loadModel(name ?? fileURLToPath(modelUrl))
  return { model, tokenizer, kernels: createKernels(), documents: await heldOutDocuments() }
}

async function fidelity({ model: name, tasks, context, samples, texts }) {
  const { model, tokenizer, kernels, documents } = await loaded(name)
  const policies = texts.filter((text) => model.calibration(0) || !isCalibrated(text)).map((text) => registry.policy(text))
  const onProgress = ({ done, total, task, policy }) => process.stderr.write(`\r${done} of ${total}: ${task}, ${policy}\x1b[K`)
  const rows = await evaluate({ model, tokenizer, kernels, documents, policies, tasks, context, samples, seed: 1, onProgress })
  process.stderr.write('\n')
  // A row is a position, keys and values of a head; effective bits are of these numbers, with all overhead.
  return rows.map((row) => ({ ...row, bitsPerNumber: (32 * row.kvBytes) / row.fullF32Bytes }))
}

/** Decode steps of all policies over one prompt, in turns, so that what else the machine does meets all alike. */
async function decode({ context, rounds, steps, texts }) {
  const { model, tokenizer, kernels, documents } = await loaded()
  const tokens = tokenizer.encode(documents.join('\n')).slice(0, context)
  const policies = ['full', ...texts].map((text) => registry.policy(text))
  const recorded = new RecordedPrompt(model.shape, policies, kernels, model)
  await model.forward(tokens, recorded.cache, { logits: 'none' })
  const caches = []
  for (const policy of policies) caches.push({ policy: policy.text, cache: await recorded.replay(policy), best: Infinity })
  for (let round = 0; round < rounds; round++)
    for (const one of caches)
      for (let step = 0; step < steps; step++) {
        const start = performance.now()
        await model.forward([tokens[step]], one.cache)
        one.best = Math.min(one.best, performance.now() - start)
      }
  const [full] = caches
  return caches.map(({ policy, best }) => ({ policy, context, msPerToken: best, ratio: best / full.best }))
}

/** Files of one prompt under some policies, plain and coded: bytes, and the best time of three to load them; prefill alone. */
async function files({ context, texts }) {
  const { model, tokenizer, kernels, documents } = await loaded()
  const tokens = tokenizer.encode(documents.join('\n')).slice(0, context)
  const folder = await mkdtemp(join(tmpdir(), 'kvfold-files-'))
  const rows = []
  try {
    for (const text of texts) {
      const policy = registry.policy(text)
      const cache = new KvCache(model.shape, { policy, kernels, model })
      const start = performance.now()
      await model.forward(tokens, cache, { logits: 'none' })
      const prefillMs = performance.now() - start
      for (const coding of text === 'full' ? [undefined] : [undefined, quant.cachegenCoding]) {
        const path = join(folder, 'cache')
        const size = await writeWhole(path, cache.save({ fingerprint: model.fingerprint, coding }))
        let loadMs = Infinity
        for (let i = 0; i < 3; i++) {
          const began = performance.now()
          const again = await KvCache.load(new Uint8Array(readFileSync(path)), {
            shape: model.shape,
            policy,
            kernels,
            model,
            fingerprint: model.fingerprint,
            codings: [quant.cachegenCoding],
          })
          loadMs = Math.min(loadMs, performance.now() - began)
          await again.dispose()
        }
        rows.push({
          policy: text,
          coding: coding?.name ?? 'plain',
          context,
          bytes: size,
          fullF32Bytes: cache.ledger().fullF32Bytes,
          loadMs,
          prefillMs,
        })
      }
      await cache.dispose()
    }
  } finally {
    await rm(folder, { recursive: true })
  }
  return rows
}

const TASKS = ['perplexity', 'needle', 'key-value']
/** One or two of each family, for what takes long. */
const SOME = [
  'int8',
  'int4',
  'flexgen',
  'kivi(bits=4, residual=32)',
  'gear(bits=4)',
  'zipcache(low=4)',
  'mikv',
  'xquant(bits=4)',
  'cachegen(level=2)',
  'kvquant(bits=3)',
  'turboquant(bits=3)',
  'kivi(bits=2, group=32, residual=32)',
  'swapped-kivi',
  'gear(bits=2)',
  'xquant(bits=2)',
  'xquant-cl(bits=2)',
]
const PARTS = {
  '4k': () => fidelity({ tasks: TASKS, context: 4096, samples: 2, texts: ALL }),
  '8k': () => fidelity({ tasks: TASKS, context: 8192, samples: 1, texts: SOME }),
  smollm: () => fidelity({ model: SMOLLM, tasks: ['perplexity', 'needle'], context: 2048, samples: 1, texts: SOME }),
  // What h2o and snapkv hold in float32 in the bytes that mikv takes for all rows; and in 8 bits.
  'equal-bytes': () =>
    fidelity({
      tasks: ['key-value', 'needles'],
      context: 4096,
      samples: 6,
      texts: [
        'h2o(budget=100%) + mikv',
        'snapkv(budget=100%) + mikv',
        'h2o(budget=16%)',
        'snapkv(budget=16%)',
        'h2o(budget=50%) + kivi(bits=8, residual=32)',
        'snapkv(budget=50%) + kivi(bits=8, residual=32)',
      ],
    }),
  decode: () => decode({ context: 4096, rounds: 6, steps: 4, texts: ALL.filter((text) => text !== 'swapped-kivi') }),
  files: () =>
    files({
      context: 4096,
      texts: [
        'full',
        'int8',
        'flexgen',
        'kivi(bits=4, residual=32)',
        'kivi(bits=2, residual=32)',
        'cachegen(level=3)',
        'cachegen(level=2)',
        'cachegen(level=1)',
        'cachegen(level=3, delta=true)',
        'cachegen(level=2, delta=true)',
        'cachegen(level=1, delta=true)',
        'keydiff(budget=25%) + kivi(bits=4, residual=32)',
        'keydiff(budget=25%) + cachegen(level=2)',
      ],
    }),
}

for (const name of namedParts(PARTS)) {
  console.log(name)
  const rows = await PARTS[name]()
  const about = { model: name === 'smollm' ? basename(SMOLLM) : 'reference' }
  writeRows(resultFile(name), about, rows)
}
await writeQuantisationPage(METHODS)
