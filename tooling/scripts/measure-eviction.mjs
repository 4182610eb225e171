// Measures what docs/eviction.md shows: every method that takes a budget, at four budgets, on every task. `node tooling/scripts/measure-eviction.mjs
// NAME...` runs some parts with the built command and keeps what they say in docs/results; without names it runs all (three hours on one core).
// The page and the pictures are then written from what is there; --page writes only those.
import { execFileSync, spawnSync } from 'node:child_process'
import { basename } from 'node:path'
import { resultFile, writeEvictionPage } from './eviction-page.mjs'
import { namedParts, writeRows } from './results.mjs'

const BUDGETS = ['50%', '25%', '10%', '5%']
const TASKS = 'needle,needles,needle-word,needle-words,key-value,variable-chain,common-word,common-words'
const HEADS = 'heads="7.0 7.1"'

const kvfold = (...args) => ['apps/cli/bin/kvfold.js', ...args]
const methods = JSON.parse(execFileSync(process.execPath, kvfold('methods', '--json'), { encoding: 'utf8' }))
  .filter(({ params }) => params.some(({ name }) => name === 'budget'))
  .map(({ name }) => name)

/** A method with its budget, some over another's scores; razorattention with the heads that `kvfold heads` finds in the reference model. */
const SPECIAL = { razorattention: (budget) => `razorattention(${HEADS}, budget=${budget})` }
const OVER = [
  (budget) => `chunkkv + snapkv(budget=${budget})`,
  (budget) => `kvcrush + snapkv(budget=${budget})`,
  (budget) => `adakv(budget=${budget}) + expected-attention(epsilon=0.01)`,
]
const policies = (names, budgets, over = OVER) =>
  budgets.flatMap((budget) => [
    ...names.map((name) => (SPECIAL[name] ? SPECIAL[name](budget) : `${name}(budget=${budget})`)),
    ...over.map((make) => make(budget)),
  ])

const SMOLLM = process.env.KVFOLD_SMOLLM ?? 'HuggingFaceTB/SmolLM2-135M-Instruct'
const evaluate = (tasks, context, samples, all, ...more) => [
  'eval',
  '-t',
  tasks,
  '-c',
  String(context),
  '-s',
  String(samples),
  '-p',
  all.join('; '),
  ...more,
]
// The heads that razorattention is given, and those that locret was trained for, are the reference model's.
const foreign = methods.filter((name) => name !== 'razorattention' && name !== 'locret')

const PARTS = {
  agnostic: () => evaluate(TASKS, 4096, 3, policies(methods, BUDGETS)),
  aware: () => evaluate(TASKS, 4096, 3, policies(methods, BUDGETS), '--question-aware'),
  perplexity: () => evaluate('perplexity', 4096, 2, policies(methods, BUDGETS)),
  'smollm-agnostic': () => evaluate('needle', 2048, 3, policies(foreign, ['25%'], []), '-m', SMOLLM),
  'smollm-aware': () => evaluate('needle', 2048, 3, policies(foreign, ['25%'], []), '-m', SMOLLM, '--question-aware'),
  peak: () =>
    evaluate('needle', 8192, 2, [
      'keydiff(budget=512)',
      'keydiff(budget=512) + trigger(chunk=1024)',
      'keydiff(budget=512) + trigger(chunk=256)',
      'keydiff(budget=512) + trigger(chunk=256) + kivi(bits=4, residual=32)',
      'locret(budget=512, chunk=256)',
    ]),
  cost: () => ['bench', '--compression'],
}

for (const name of namedParts(PARTS)) {
  console.log(name)
  const { status, stdout } = spawnSync(process.execPath, kvfold(...PARTS[name](), '--json'), {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 2 ** 28,
  })
  if (status !== 0) process.exit(1)
  const { rows, ...about } = JSON.parse(stdout)
  if (about.model) about.model = basename(about.model)
  writeRows(resultFile(name), about, rows)
}
await writeEvictionPage()
