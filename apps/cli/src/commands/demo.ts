import type { Command } from 'commander'
import pc from 'picocolors'
import { createRandom, type Policy } from '@kvfold/kv-core'
import { follow, mean, needles, Pool, PromptWriter, TASK_TEXT, transcribe, type Comparison, type Facts, type Runner } from '@kvfold/eval'
import { heldOutDocuments } from '@kvfold/eval/node'
import { load, REFERENCE, type Loaded } from '../load.ts'
import { registry } from '../registry.ts'
import { bytes, duration, percentage, times } from '../terminal/format.ts'
import { percent, startTask } from '../terminal/task.ts'
import { table } from '../terminal/table.ts'
import { integer, threadsOption } from './options.ts'

interface DemoOptions {
  policy: string
  threads: number
  context: number
  questions: number
  seed: number
  questionAware?: boolean
}

/** Facts in the document; some are asked about. */
const FACTS = 8

export function demoCommand(program: Command): void {
  program
    .command('demo')
    .summary('one long document, answered with the full cache and with a compressed one')
    .description(
      'Hides numbers in a long held-out document and asks the reference model for some of them, once with the full cache and once with a compressed one.',
    )
    .option('-p, --policy <policy>', 'the compressed cache', 'keydiff(budget=25%) + kivi(bits=4, residual=32)')
    .option('-c, --context <tokens>', 'length of the document with a question', integer(256), 4096)
    .option('-q, --questions <n>', `how many of the ${FACTS} hidden numbers to ask for`, integer(1), 3)
    .option('--question-aware', 'let the policy see each question before it compresses')
    .addOption(threadsOption())
    .option('--seed <n>', 'of the document', integer(0), 1)
    .addHelpText(
      'after',
      '\nExamples:\n  kvfold demo\n  kvfold demo -p "snapkv(budget=256, window=16, kernel=7) + kivi(bits=4, residual=32)" --question-aware',
    )
    .action(demo)
}

interface Pair {
  asked: string
  full: Comparison
  small: Comparison
}

async function demo(options: DemoOptions): Promise<void> {
  const policy = registry.policy(options.policy)
  const loaded = await load(REFERENCE, false, options.threads)
  const pool = new Pool(TASK_TEXT, createRandom(options.seed))
  const writer = new PromptWriter(TASK_TEXT, loaded.tokenizer, await heldOutDocuments())
  const facts = needles(TASK_TEXT, pool, 'needle-number', FACTS)
  console.log(`A document of ${options.context} tokens the model never saw, with ${FACTS} facts hidden in it, such as:`)
  console.log(pc.italic(`  "${facts.facts[0]}"`))
  console.log(`Read twice: with the full cache, and with ${pc.bold(policy.text)}.\n`)
  const pairs = await askAll(loaded, policy, facts, writer, pool, options)
  console.log(answers(pairs, loaded))
  console.log(`\n${costs(pairs)}`)
  console.log(
    pc.dim(
      `\n${options.questionAware ? 'Compressed after each question was seen: an easier problem.' : 'Compressed before any question was seen.'} KL divergence and top-1 agreement: token by token along the full cache's answer.`,
    ),
  )
}

async function askAll(
  loaded: Loaded,
  policy: Policy,
  facts: Facts,
  writer: PromptWriter,
  pool: Pool,
  options: DemoOptions,
): Promise<Pair[]> {
  const runner: Runner = { ...loaded, questionAware: options.questionAware ?? false }
  const questions = facts.questions.slice(0, options.questions).map((question) => ({ ...question, tokens: writer.encode(question.prompt) }))
  const context = writer.document(facts, options.context - Math.max(...questions.map(({ tokens }) => tokens.length)), pool)
  const pairs: Pair[] = []
  const task = startTask('Reading and answering', false)
  const show = (done: number): void => task.update(percent(done, 2 * questions.length))
  try {
    for (const [i, question] of questions.entries()) {
      const prompt = { context, question: question.tokens }
      show(2 * i)
      const full = await transcribe(runner, prompt, facts.maxNewTokens)
      show(2 * i + 1)
      pairs.push({ asked: question.prompt, full: { ...full, kld: 0, top1Agreement: 1 }, small: await follow(runner, policy, prompt, full) })
    }
  } finally {
    task.stop()
  }
  return pairs
}

function answers(pairs: readonly Pair[], { tokenizer }: Loaded): string {
  const text = (tokens: readonly number[]): string => tokenizer.decode(tokens).split('\n')[0].trim()
  return table(
    ['question', 'full cache', 'compressed'],
    pairs.map(({ asked, full, small }) => [
      asked.trim().split('\n')[0].replace('Question: ', ''),
      text(full.tokens),
      text(small.tokens) === text(full.tokens) ? pc.green(text(small.tokens)) : pc.yellow(text(small.tokens)),
    ]),
  )
}

function costs(pairs: readonly Pair[]): string {
  const columns = (['full', 'small'] as const).map((which) => {
    const runs = pairs.map((pair) => pair[which])
    const average = (value: (run: Comparison) => number): number => mean(runs.map(value))
    const held = average((run) => run.ledger.bytes),
      whole = average((run) => run.ledger.fullF32Bytes)
    const away = Object.entries(runs[0].ledger.tiers)
      .map(([tier, count]) => ` + ${bytes(count)} on ${tier}`)
      .join('')
    return [
      `${bytes(held)}${away}`,
      times(whole, held),
      String(Math.round(average((run) => run.ledger.rows))),
      bytes(Math.max(...runs.map((run) => run.ledger.peakBytes))),
      duration(average((run) => run.prefillMs!)),
      duration(average((run) => run.decodeMsPerToken)),
      average((run) => run.kld).toExponential(1),
      percentage(average((run) => run.top1Agreement)),
    ]
  })
  const names = [
    'cache held',
    'smaller than float32',
    'rows',
    'peak while reading',
    'prefill',
    'per new token',
    'KL divergence',
    'top-1 agreement',
  ]
  return table(
    ['', 'full cache', 'compressed'],
    names.map((name, i) => [name, columns[0][i], columns[1][i]]),
    [1, 2],
  )
}
