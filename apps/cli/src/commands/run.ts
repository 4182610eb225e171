import type { Command } from 'commander'
import pc from 'picocolors'
import { answer, type Answer } from '../answer.ts'
import { load, REFERENCE } from '../load.ts'
import { questionPrompt } from '../question-prompt.ts'
import { readText } from '../read-text.ts'
import { registry } from '../registry.ts'
import { bytes, duration, times } from '../terminal/format.ts'
import { percent, startTask } from '../terminal/task.ts'
import { integer, number } from './options.ts'

interface RunOptions {
  model: string
  context: string
  question: string
  policy: string
  questionAware?: boolean
  maxTokens: number
  temperature: number
  topK?: number
  topP?: number
  seed: number
  json?: boolean
}

export function runCommand(program: Command): void {
  program
    .command('run')
    .summary('answer a question about a document')
    .description(
      'Answers a question about a document, with the cache that a policy makes. The document is read, and compressed, before the question is seen, unless --question-aware is given.',
    )
    .requiredOption('-c, --context <file>', 'the document, UTF-8 text; - reads the standard input')
    .requiredOption('-q, --question <text>', 'what to ask')
    .option('-p, --policy <policy>', 'presets joined by +, or full', 'full')
    .option('-m, --model <model>', 'reference, a folder, a .gguf file, or a repository on the Hugging Face hub', REFERENCE)
    .option('--question-aware', 'let the policy see the question before it compresses')
    .option('-n, --max-tokens <n>', 'most new tokens', integer(1), 64)
    .option('--temperature <t>', '0 is greedy', number(0, 100), 0)
    .option('--top-k <k>', 'draw from the k likeliest tokens', integer(1))
    .option('--top-p <p>', 'draw from the likeliest tokens that have this probability together', number(0, 1))
    .option('--seed <n>', 'of the draws', integer(0), 0)
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  kvfold run -c book.txt -q "Who is the captain?"
  kvfold run -c book.txt -q "Who is the captain?" -p "kivi(bits=4)"
  kvfold run -c book.txt -q "Who is the captain?" -p "snapkv(budget=512) + kivi(bits=4)" --question-aware --json
  cat notes.txt | kvfold run -c - -q "What was decided?" -m HuggingFaceTB/SmolLM2-360M-Instruct`,
    )
    .action(run)
}

async function run(options: RunOptions): Promise<void> {
  const { json = false, questionAware = false } = options
  // Everything that can be wrong is checked before the model is loaded.
  const policy = registry.policy(options.policy)
  const document = await readText(options.context)
  const loaded = await load(options.model, json)
  const prompt = questionPrompt(loaded.tokenizer, document, options.question)
  const task = startTask(`Reading ${prompt.context.length + prompt.question.length} tokens`, json)
  const result = await answer(loaded, policy, prompt, {
    maxTokens: options.maxTokens,
    questionAware,
    oneLine: !prompt.chat,
    sampling: { temperature: options.temperature, topK: options.topK, topP: options.topP, seed: options.seed },
    onPrefill: ({ done, total }) => task.update(percent(done, total)),
    onText: (text) => {
      task.stop()
      if (!json) process.stdout.write(text)
    },
  }).finally(() => task.stop())
  if (json) console.log(JSON.stringify(report(result, policy.text, questionAware)))
  else console.log(`\n\n${summary(result, policy.text)}`)
}

function report(
  { text, promptTokens, tokens, prefillMs, ttftMs, decodeMsPerToken, ledger, notices }: Answer,
  policy: string,
  questionAware: boolean,
): object {
  const { bytes: held, peakBytes, fullF16Bytes, fullF32Bytes, rows, tiers } = ledger
  return {
    answer: text,
    promptTokens,
    newTokens: tokens.length,
    prefillMs,
    ttftMs,
    decodeMsPerToken,
    kv: { bytes: held, peakBytes, fullF16Bytes, fullF32Bytes, rows, tiers },
    policy,
    questionAware,
    notices,
  }
}

function summary({ promptTokens, tokens, prefillMs, decodeMsPerToken, ledger, notices }: Answer, policy: string): string {
  const away = Object.entries(ledger.tiers)
    .map(([name, count]) => `, ${bytes(count)} on ${name}`)
    .join('')
  return pc.dim(
    [
      `policy   ${policy}`,
      `cache    ${bytes(ledger.bytes)}${away}: ${times(ledger.fullF32Bytes, ledger.bytes)} smaller than full float32 (${bytes(ledger.fullF32Bytes)}), ${ledger.rows} rows`,
      `time     ${promptTokens} prompt tokens in ${duration(prefillMs)}, ${tokens.length} new ones at ${duration(decodeMsPerToken)} each`,
      ...notices.map((notice) => `note     ${notice}`),
    ].join('\n'),
  )
}
