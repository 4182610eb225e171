import type { Command } from 'commander'
import { inspectCache, KvCache } from '@kvfold/kv-core'
import { fileSource } from '@kvfold/models/node'
import { ask, checkLength } from '../answer.ts'
import { answerReport, answerSummary } from '../answer-report.ts'
import { codings } from '../codings.ts'
import { load, REFERENCE } from '../load.ts'
import { questionTokens } from '../question-prompt.ts'
import { registry } from '../registry.ts'
import { duration } from '../terminal/format.ts'
import { startTask } from '../terminal/task.ts'
import { sampling, samplingOptions, type SamplingFlags } from './options.ts'

interface LoadOptions extends SamplingFlags {
  question: string
  model?: string
  policy?: string
  json?: boolean
}

export function cacheLoadCommand(cache: Command): void {
  const command = cache
    .command('load')
    .summary('answer a question from a kept cache')
    .description(
      'Loads the cache that a file holds and answers a question about the document that it was made of, without reading it again.',
    )
    .argument('<file>', 'a cache that `kvfold cache save` wrote')
    .requiredOption('-q, --question <text>', 'what to ask')
    .option('-m, --model <model>', 'the model that read the document (default: what the file says)')
    .option('-p, --policy <policy>', "fails unless it is the file's (default: the file's)")
  samplingOptions(command)
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  kvfold cache load book.kv -q "Who is the captain?"
  kvfold cache load book.kv -q "Who is the captain?" -m ./my-model --json`,
    )
    .action(loadAndAsk)
}

async function loadAndAsk(file: string, { question, json = false, ...options }: LoadOptions): Promise<void> {
  const source = await fileSource(file)
  let cache: KvCache | undefined
  try {
    // What the file says is known, and checked, before the model is loaded.
    const { policy: text, info, tokens } = await inspectCache(source, { header: true })
    const policy = registry.policy(options.policy ?? text)
    const loaded = await load(options.model ?? info['model'] ?? REFERENCE, json)
    const { model, kernels, tokenizer } = loaded
    const asked = questionTokens(tokenizer, question)
    checkLength(model, tokens + asked.length)
    const start = performance.now()
    cache = await KvCache.load(source, { shape: model.shape, policy, kernels, model, fingerprint: model.fingerprint, codings })
    const loadMs = performance.now() - start
    const task = startTask(`Reading ${asked.length} tokens`, json)
    const result = await ask(loaded, cache, asked, {
      start,
      oneLine: tokenizer.chatTemplate === undefined,
      ...sampling(options),
      onText: (text) => {
        task.stop()
        if (!json) process.stdout.write(text)
      },
    }).finally(() => task.stop())
    if (json) console.log(JSON.stringify(answerReport(result, policy.text, false, { loadMs })))
    else console.log(`\n\n${answerSummary(result, policy.text, `${tokens} tokens loaded in ${duration(loadMs)}`)}`)
  } finally {
    await cache?.dispose()
    await source.close?.()
  }
}
