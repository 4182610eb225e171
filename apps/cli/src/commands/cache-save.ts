import type { Command } from 'commander'
import pc from 'picocolors'
import { KvCache } from '@kvfold/kv-core'
import { checkLength } from '../answer.ts'
import { load, REFERENCE } from '../load.ts'
import { checkFolder, writeWhole } from '../output-file.ts'
import { contextTokens } from '../question-prompt.ts'
import { readText } from '../read-text.ts'
import { registry } from '../registry.ts'
import { bytes, duration, times } from '../terminal/format.ts'
import { percent, startTask } from '../terminal/task.ts'

interface SaveOptions {
  model: string
  context: string
  policy: string
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
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  kvfold cache save book.kv -c book.txt
  kvfold cache save book.kv -c book.txt -p "keydiff(budget=25%) + kivi(bits=4, residual=32)"`,
    )
    .action(save)
}

async function save(file: string, { context, json = false, ...options }: SaveOptions): Promise<void> {
  const policy = registry.policy(options.policy)
  await checkFolder(file)
  const document = await readText(context)
  const loaded = await load(options.model, json)
  const { model, kernels, tokenizer } = loaded
  const tokens = contextTokens(tokenizer, document)
  checkLength(model, tokens.length)
  const cache = new KvCache(model.shape, { policy, kernels, model })
  const task = startTask(`Reading ${tokens.length} tokens`, json)
  try {
    const start = performance.now()
    await model.forward(tokens, cache, { logits: 'none', onProgress: ({ done, total }) => task.update(percent(done, total)) })
    const read = performance.now()
    const size = await writeWhole(file, cache.save({ fingerprint: model.fingerprint, info: { model: options.model } }))
    const saved = performance.now()
    const { fullF16Bytes, fullF32Bytes, rows } = cache.ledger()
    task.stop()
    const report = {
      file,
      model: options.model,
      policy: policy.text,
      tokens: tokens.length,
      layers: model.shape.layers,
      rows,
      bytes: size,
      fullF16Bytes,
      fullF32Bytes,
      prefillMs: read - start,
      saveMs: saved - read,
      notices: cache.notices,
    }
    if (json) console.log(JSON.stringify(report))
    else
      console.log(
        pc.dim(
          [
            `policy   ${policy.text}`,
            `file     ${file}, ${bytes(size)}: ${times(fullF32Bytes, size)} smaller than full float32 (${bytes(fullF32Bytes)}), ${rows} rows`,
            `time     ${tokens.length} tokens read in ${duration(read - start)}, written in ${duration(saved - read)}`,
            ...cache.notices.map((notice) => `note     ${notice}`),
          ].join('\n'),
        ),
      )
  } finally {
    task.stop()
    await cache.dispose()
  }
}
