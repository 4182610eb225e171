import type { Command } from 'commander'
import { evaluate, TASK_NAMES, TASKS, type EvalRow } from '@kvfold/eval'
import { heldOutDocuments } from '@kvfold/eval/node'
import { load, REFERENCE } from '../load.ts'
import { readText } from '../read-text.ts'
import { registry } from '../registry.ts'
import { bytes, duration, percentage, significant, times } from '../terminal/format.ts'
import { percent, startTask } from '../terminal/task.ts'
import { table } from '../terminal/table.ts'
import { integer, list, threadsOption } from './options.ts'

interface EvalOptions {
  model: string
  threads: number
  tasks: string[]
  context: number
  samples: number
  seed: number
  policies: string[]
  questionAware?: boolean
  text?: string
  json?: boolean
}

export function evalCommand(program: Command): void {
  program
    .command('eval')
    .summary('score policies against the full cache')
    .description(
      'Scores policies on tasks that are generated from a seed: facts hidden in held-out text. The context is compressed before the question is seen, unless --question-aware is given. The full cache is always measured too; KL divergence and top-1 agreement are taken against it, along its answer.',
    )
    .option('-p, --policies <policies>', 'policies, separated by ;', list(';'), [])
    .option('-t, --tasks <tasks>', `tasks, separated by commas: ${TASK_NAMES.join(', ')}`, list(','), ['needle', 'perplexity'])
    .option('-c, --context <tokens>', 'tokens of each prompt', integer(1), 4096)
    .option('-s, --samples <n>', 'prompts per task', integer(1), 8)
    .option('--seed <n>', 'of the prompts', integer(0), 1)
    .option('-m, --model <model>', 'reference, a folder, a .gguf file, or a repository on the Hugging Face hub', REFERENCE)
    .option('--question-aware', 'let policies see the question before they compress')
    .option('--text <file>', 'hide facts in this text instead of the built-in one')
    .addOption(threadsOption())
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Tasks:
${Object.entries(TASKS)
  .map(([name, { summary }]) => `  ${name.padEnd(15)} ${summary}`)
  .join('\n')}
  perplexity      of the last 256 tokens of a text, decoded one by one

Examples:
  kvfold eval -p "kivi(bits=2); kivi(bits=4)" -t needle,perplexity
  kvfold eval -p "snapkv(budget=512, window=16); h2o(budget=512)" -t needle,needles,key-value --question-aware -s 20 --json`,
    )
    .action(run)
}

async function run(options: EvalOptions): Promise<void> {
  const { json = false, questionAware = false, tasks, context, samples, seed } = options
  const policies = options.policies.map((text) => registry.policy(text)).filter((policy) => policy.text !== 'full')
  const documents = options.text ? [await readText(options.text)] : await heldOutDocuments()
  const { model, tokenizer, kernels } = await load(options.model, json, options.threads)
  const task = startTask('Evaluating', false)
  const abort = new AbortController()
  const rows = await evaluate({
    model,
    tokenizer,
    kernels,
    documents,
    policies,
    tasks,
    context,
    samples,
    seed,
    questionAware,
    signal: abort.signal,
    onProgress: ({ done, total, task: name, policy }) => task.update(`${percent(done, total)} ${name}, ${policy}`),
  }).finally(() => task.stop())
  if (json) console.log(JSON.stringify({ model: options.model, seed, questionAware, rows }))
  else
    console.log(
      `${print(rows)}\n\n${questionAware ? 'Question-aware' : 'Query-agnostic'}, ${context} tokens, ${samples} samples, seed ${seed}.`,
    )
}

function print(rows: readonly EvalRow[]): string {
  return table(
    ['task', 'policy', 'score', 'cache', 'smaller', 'KL divergence', 'top-1', 'prefill', 'per token'],
    rows.map((row) => [
      row.task,
      row.policy,
      significant(row.score),
      bytes(row.kvBytes),
      times(row.fullF32Bytes, row.kvBytes),
      row.kld.toExponential(1),
      percentage(row.top1Agreement),
      duration(row.prefillMs),
      duration(row.decodeMsPerToken),
    ]),
    [2, 3, 4, 5, 6, 7, 8],
  )
}
