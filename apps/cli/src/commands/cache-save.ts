import { type Command, Option } from 'commander'
import { KvCache } from '@kvfold/kv-core'
import { checkLength } from '../answer.ts'
import { codings } from '../codings.ts'
import { UsageError } from '../errors.ts'
import { fitDeadline, leveledPolicies } from '../fit-deadline.ts'
import { load, REFERENCE } from '../load.ts'
import { checkFolder, writeWhole } from '../output-file.ts'
import { contextTokens } from '../question-prompt.ts'
import { readText } from '../read-text.ts'
import { registry } from '../registry.ts'
import { printSaved } from '../save-report.ts'
import { percent, startTask } from '../terminal/task.ts'
import { number } from './options.ts'

interface SaveOptions {
  model: string
  context: string
  policy: string
  coding?: string
  deadline?: number
  bandwidth?: number
  json?: boolean
}

export function cacheSaveCommand(cache: Command): void {
  cache
    .command('save')
    .summary('read a document and keep its cache')
    .description(
      'Reads a document under a policy and writes the cache to a file. The file appears when all of it is written: one that was there before stays until then.',
    )
    .argument('<file>', 'where the cache goes')
    .requiredOption('-c, --context <file>', 'the document, UTF-8 text; - reads the standard input')
    .option('-p, --policy <policy>', 'presets joined by +, or full', 'full')
    .option('-m, --model <model>', 'reference, a folder, a .gguf file, or a repository on the Hugging Face hub', REFERENCE)
    .addOption(
      new Option('--coding <name>', 'makes packed rows smaller in the file, without loss; loading takes longer').choices(
        codings.map(({ name }) => name),
      ),
    )
    .option('--deadline <seconds>', 'take the best level of cachegen whose coded file can be sent in this time', number(0.001, 1e6))
    .option('--bandwidth <mbit>', 'Mbit per second at which it is sent', number(0.001, 1e6))
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  kvfold cache save book.kv -c book.txt
  kvfold cache save book.kv -c book.txt -p "keydiff(budget=25%) + kivi(bits=4, residual=32)"
  kvfold cache save book.kv -c book.txt -p cachegen --coding cachegen
  kvfold cache save book.kv -c book.txt --deadline 0.5 --bandwidth 100`,
    )
    .action(save)
}

async function save(file: string, { context, json = false, deadline, bandwidth, ...options }: SaveOptions): Promise<void> {
  if ((deadline === undefined) !== (bandwidth === undefined))
    throw new UsageError('A deadline and a bandwidth go together: give both --deadline and --bandwidth, or neither.')
  const policies = deadline === undefined ? [registry.policy(options.policy)] : leveledPolicies(options.policy)
  await checkFolder(file)
  const document = await readText(context)
  const loaded = await load(options.model, json)
  const { model, kernels, tokenizer } = loaded
  const tokens = contextTokens(tokenizer, document)
  checkLength(model, tokens.length)
  const task = startTask(`Reading ${tokens.length} tokens`, json)
  const onProgress = ({ done, total }: { done: number; total: number }): void => task.update(percent(done, total))
  const about = { json, model: options.model, tokens: tokens.length, layers: model.shape.layers }
  try {
    if (deadline !== undefined && bandwidth !== undefined) {
      const limits = { deadline, bandwidth: bandwidth * 1e6, textBytes: Buffer.byteLength(document) }
      const fit = await fitDeadline(loaded, policies, tokens, limits, onProgress)
      const start = performance.now()
      if (fit.taken) await writeWhole(file, inOrder(fit.taken.chunks))
      task.stop()
      printSaved(
        fit.taken && { file, prefillMs: fit.prefillMs, saveMs: performance.now() - start, coding: 'cachegen', ...fit.taken },
        about,
        fit,
      )
      return
    }
    const [policy] = policies
    const cache = new KvCache(model.shape, { policy, kernels, model })
    try {
      const start = performance.now()
      await model.forward(tokens, cache, { logits: 'none', onProgress })
      const read = performance.now()
      const coding = codings.find(({ name }) => name === options.coding)
      const bytes = await writeWhole(file, cache.save({ fingerprint: model.fingerprint, info: { model: options.model }, coding }))
      const saveMs = performance.now() - read
      task.stop()
      const { notices } = cache
      printSaved({ file, policy, bytes, coding: coding?.name, prefillMs: read - start, saveMs, ledger: cache.ledger(), notices }, about)
    } finally {
      await cache.dispose()
    }
  } finally {
    task.stop()
  }
}

async function* inOrder(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}
