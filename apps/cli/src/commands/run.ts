import type { Command } from 'commander'
import { reportHtml } from '@kvfold/picture'
import pc from 'picocolors'
import { answer } from '../answer.ts'
import { answerReport, answerSummary } from '../answer-report.ts'
import { load, REFERENCE } from '../load.ts'
import { checkFolder, writeShort } from '../output-file.ts'
import { pictureReport } from '../picture-report.ts'
import { questionPrompt } from '../question-prompt.ts'
import { readText } from '../read-text.ts'
import { registry } from '../registry.ts'
import { still } from '../still.ts'
import { percent, startTask } from '../terminal/task.ts'
import { sampling, samplingOptions, threadsOption, type SamplingFlags } from './options.ts'

interface RunOptions extends SamplingFlags {
  model: string
  context: string
  question: string
  policy: string
  threads: number
  questionAware?: boolean
  report?: string
  png?: string
  json?: boolean
}

export function runCommand(program: Command): void {
  const command = program
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
  samplingOptions(command)
    .option('--report <file>', 'write what was kept of every token, step by step, as one file of HTML')
    .option('--png <file>', 'write a picture of what was kept in the end')
    .addOption(threadsOption())
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  kvfold run -c book.txt -q "Who is the captain?"
  kvfold run -c book.txt -q "Who is the captain?" -p "kivi(bits=4)"
  kvfold run -c book.txt -q "Who is the captain?" -p "snapkv(budget=512) + kivi(bits=4)" --question-aware --json
  kvfold run -c book.txt -q "Who is the captain?" -p "keydiff(budget=25%)" --report kept.html --png kept.png
  cat notes.txt | kvfold run -c - -q "What was decided?" -m HuggingFaceTB/SmolLM2-360M-Instruct`,
    )
    .action(run)
}

async function run(options: RunOptions): Promise<void> {
  const { json = false, questionAware = false } = options
  // Everything that can be wrong is checked before the model is loaded.
  const policy = registry.policy(options.policy)
  const files = [options.report, options.png].filter((file) => file !== undefined)
  for (const file of files) await checkFolder(file)
  const document = await readText(options.context)
  const loaded = await load(options.model, json, options.threads)
  const prompt = questionPrompt(loaded.tokenizer, document, options.question)
  const task = startTask(`Reading ${prompt.context.length + prompt.question.length} tokens`, json)
  const result = await answer(loaded, policy, prompt, {
    questionAware,
    oneLine: !prompt.chat,
    record: files.length > 0,
    ...sampling(options),
    onPrefill: ({ done, total }) => task.update(percent(done, total)),
    onText: (text) => {
      task.stop()
      if (!json) process.stdout.write(text)
    },
  }).finally(() => task.stop())
  if (json) console.log(JSON.stringify(answerReport(result, policy.text, questionAware)))
  else console.log(`\n\n${answerSummary(result, policy.text)}`)
  if (!result.history) return
  const report = pictureReport(loaded, policy, prompt, options, { ...result, history: result.history })
  if (options.report) await writeShort(options.report, reportHtml(report))
  if (options.png) await writeShort(options.png, await still(report))
  if (!json) console.log(pc.dim(files.map((file) => `written  ${file}`).join('\n')))
}
