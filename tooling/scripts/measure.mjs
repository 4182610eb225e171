// Measures what docs/results.md shows. `node tooling/scripts/measure.mjs NAME...` runs some sections with the built command and keeps their
// JSON in docs/results; without names it runs all (an hour). The page is then written from what is there.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { namedParts, row } from './results.mjs'

const EVICTION =
  'snapkv(budget=512, window=16, kernel=7); snapkv(budget=256, window=16, kernel=7); h2o(budget=512); cake(budget=512); streaming(budget=512)'
const MIXED = 'snapkv(budget=512, window=16, kernel=7) + kivi(bits=4, residual=32); d2o(budget=512); kivi(bits=4); kivi(bits=2)'
const evaluate = (tasks, samples, policies, ...more) => ['eval', '-t', tasks, '-c', '4096', '-s', String(samples), '-p', policies, ...more]

const SECTIONS = {
  'question-aware': {
    title: 'Question-aware: the policy sees the question before it compresses',
    args: evaluate('needle', 20, `${EVICTION}; ${MIXED}`, '--question-aware'),
  },
  'question-aware-harder': {
    title: 'Question-aware, harder tasks',
    args: evaluate('needles,key-value', 10, `${EVICTION}; ${MIXED}`, '--question-aware'),
  },
  'query-agnostic': {
    title: 'Query-agnostic: the context is compressed before the question is seen',
    args: evaluate('needle', 20, `${EVICTION}; ${MIXED}`),
  },
  perplexity: {
    title: 'Perplexity of the last 256 of 4,096 tokens, decoded one by one',
    args: evaluate('perplexity', 8, `kivi(bits=8); kivi(bits=4); kivi(bits=2); ${EVICTION}`),
  },
  bench: { title: 'Speed', args: ['bench'] },
}

const file = (name) => `docs/results/${name}.json`
const shown = (args) => `npx kvfold ${args.map((arg) => (/[ ;(]/.test(arg) ? `"${arg}"` : arg)).join(' ')}`

for (const name of namedParts(SECTIONS, 'section')) {
  const { args } = SECTIONS[name]
  console.log(shown(args))
  const { status, stdout } = spawnSync(process.execPath, ['apps/cli/bin/kvfold.js', ...args, '--json'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 2 ** 28,
  })
  if (status !== 0) process.exit(1)
  writeFileSync(file(name), `${JSON.stringify(JSON.parse(stdout), null, 1)}\n`)
}

const number = (value, digits) => value.toFixed(digits)

function evaluationTable({ rows }) {
  const lines = [
    row('task', 'policy', 'score', 'cache', 'of float32', 'KL divergence', 'top-1'),
    row('---', '---', '---:', '---:', '---:', '---:', '---:'),
  ]
  for (const r of rows) {
    lines.push(
      row(
        r.task,
        `\`${r.policy}\``,
        number(r.score, 2),
        `${number(r.kvBytes / 1e6, 2)} MB`,
        `1/${number(r.fullF32Bytes / r.kvBytes, 1)}`,
        r.policy === 'full' ? '' : r.kld.toExponential(1),
        r.policy === 'full' ? '' : `${number(r.top1Agreement * 100, 1)} %`,
      ),
    )
  }
  return lines.join('\n')
}

function benchTable({ machine, rows }) {
  const lines = [row('', 'ours', 'other', 'ratio', 'goal'), row('---', '---:', '---:', '---:', '---:')]
  for (const r of rows)
    lines.push(row(r.name, `${number(r.ours, 2)} ms`, `${number(r.other, 2)} ms`, number(r.ratio, 2), `at most ${r.goal}`))
  return `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, ${machine.kernels} kernels, one thread.\n\n${lines.join('\n')}`
}

const sections = Object.entries(SECTIONS)
  .filter(([name]) => existsSync(file(name)))
  .map(([name, { title, args }]) => {
    const result = JSON.parse(readFileSync(file(name), 'utf8'))
    const note = result.rows[0].n ? ` ${result.rows[0].n} samples a task, seed ${result.seed}.` : ''
    return `## ${title}\n\n\`${shown(args)}\`${note}\n\n${result.machine ? benchTable(result) : evaluationTable(result)}\n`
  })
writeFileSync(
  'docs/results.md',
  `# Results

On the reference model, 4,096 tokens, held-out text. Made by \`node tooling/scripts/measure.mjs\`, section by section with the command above each
table. "Cache" is what the ledger holds after the last token, in memory, equal to the sizes of the live buffers; full float32 is what an
uncompressed cache of the same tokens takes. KL divergence (nats) and top-1 agreement are taken against the full cache along its answer, or along
the text. Tables with and without sight of the question are kept apart: a policy that knows the question solves an easier problem.
All eviction methods at all budgets have [a page of their own](eviction.md).

${sections.join('\n')}`,
)
