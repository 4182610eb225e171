// Writes docs/eviction.md and its pictures from what measure-eviction.mjs left in docs/results.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import * as eviction from '@kvfold/eviction'
import { compose, Registry } from '@kvfold/kv-core'
import * as merge from '@kvfold/merge'
import * as vega from 'vega'
import { compile } from 'vega-lite'
import { table, unique } from './results.mjs'

export const resultFile = (name) => `docs/results/eviction-${name}.json`
const read = (name) => (existsSync(resultFile(name)) ? JSON.parse(readFileSync(resultFile(name), 'utf8')) : undefined)

const registry = new Registry({ eviction, merge })
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length

/** Told apart on white, side by side. */
const COLORS = ['#1f77b4', '#ff7f0e', '#2ca02c', '#d62728', '#9467bd', '#8c564b', '#e377c2', '#7f7f7f', '#bcbd22', '#17becf', '#000000']

/** A policy without its budget, and that budget. */
const nameOf = (policy) =>
  policy
    .replace(/,? ?budget=[^,)]+/, '')
    .replace('()', '')
    .replace('(, ', '(')
const budgetOf = (policy) => /budget=([^,)]+)/.exec(policy)?.[1] ?? '100%'
const label = (name) => name.replace(/\(.*?\)/g, '')

/** What a policy looks at: the panels of the picture. */
function kindOf(text) {
  const { needs } = compose(...registry.presets(text))
  if (needs.reconstruction || needs.retaining) return 'a second reading, trained heads'
  if (needs.columnSums) return 'attention of all queries'
  if (needs.windowAttention || needs.stepAttention || needs.queries) return 'attention of the last queries'
  if (needs.keys || needs.values) return 'keys, values, expected queries'
  return 'positions, found heads, chance'
}

/** Mean over the tasks, by policy. */
function byPolicy({ rows }) {
  return unique(rows.map((r) => r.policy)).map((policy) => {
    const own = rows.filter((r) => r.policy === policy)
    return {
      policy,
      name: nameOf(policy),
      budget: budgetOf(policy),
      score: mean(own.map((r) => r.score)),
      kept: mean(own.map((r) => r.kvBytes / r.fullF32Bytes)),
      peak: Math.max(...own.map((r) => r.peakBytes)),
      bytes: mean(own.map((r) => r.kvBytes)),
      tasks: Object.fromEntries(own.map((r) => [r.task, r.score])),
    }
  })
}

function scoreTable(result) {
  const all = byPolicy(result)
  const full = all.find(({ policy }) => policy === 'full')
  const budgets = unique(all.filter((one) => one !== full).map(({ budget }) => budget))
  const at = (name, budget) => all.find((one) => one.name === name && one.budget === budget)
  const names = unique(all.filter((one) => one !== full).map(({ name }) => name))
  const order = names.sort(
    (a, b) => mean(budgets.map((x) => at(b, x).score)) - mean(budgets.map((x) => at(a, x).score)) || a.localeCompare(b),
  )
  const lines = order.map((name) => [`\`${name}\``, ...budgets.map((budget) => at(name, budget).score.toFixed(2))])
  return table(['mean score at a budget of', ...budgets], [['full cache', ...budgets.map(() => full.score.toFixed(2))], ...lines])
}

function taskTable(result, budget) {
  const all = byPolicy(result)
  const tasks = unique(result.rows.map((r) => r.task))
  const some = all.filter((one) => one.budget === budget || one.policy === 'full').sort((a, b) => b.score - a.score)
  const lines = some.map(({ name, tasks: scores, bytes, peak }) => [
    name === 'full' ? 'full cache' : `\`${name}\``,
    ...tasks.map((task) => scores[task].toFixed(2)),
    `${(bytes / 1e6).toFixed(1)} MB`,
    `${(peak / 1e6).toFixed(1)} MB`,
  ])
  return table([`at ${budget}`, ...tasks, 'held', 'peak'], lines)
}

function perplexityTable({ rows }) {
  const full = rows.find((r) => r.policy === 'full')
  const budgets = unique(rows.filter((r) => r !== full).map((r) => budgetOf(r.policy)))
  const names = unique(rows.filter((r) => r !== full).map((r) => nameOf(r.policy)))
  const at = (name, budget) => rows.find((r) => nameOf(r.policy) === name && budgetOf(r.policy) === budget)
  const order = names.sort((a, b) => at(a, '10%').score - at(b, '10%').score)
  return table(
    ['perplexity at a budget of', ...budgets],
    [
      ['full cache', ...budgets.map(() => full.score.toFixed(2))],
      ...order.map((name) => [`\`${name}\``, ...budgets.map((b) => at(name, b).score.toFixed(2))]),
    ],
  )
}

function peakTable({ rows }) {
  const lines = rows.map((r) => [
    r.policy === 'full' ? 'full cache' : `\`${r.policy}\``,
    `${(r.peakBytes / 1e6).toFixed(1)} MB`,
    `${(r.kvBytes / 1e6).toFixed(1)} MB`,
    r.score.toFixed(2),
  ])
  return table(['8,192 tokens under', 'peak', 'held', 'needle'], lines)
}

function costTable({ rows }) {
  const sorted = rows.toSorted((a, b) => a.ratio - b.ratio)
  return table(
    ['a prompt of 4,096 tokens under', 'prefill', 'of the full cache’s', 'choosing rows'],
    sorted.map((r) => [
      `\`${r.name.split(': ')[1]}\``,
      `${r.ours.toFixed(0)} ms`,
      r.ratio.toFixed(2),
      `${Math.max(0, r.ours - r.other).toFixed(0)} ms`,
    ]),
  )
}

async function picture(results, file) {
  const values = results.flatMap(({ title, result }) => {
    const all = byPolicy(result)
    return all
      .filter(({ policy }) => policy !== 'full')
      .map(({ policy, name, kept, score }) => ({ mode: title, kind: kindOf(policy), method: label(name), kept: 100 * kept, score }))
  })
  const panel = (kind) => ({
    title: { text: kind, anchor: 'start', fontSize: 12 },
    transform: [{ filter: { field: 'kind', equal: kind } }],
    facet: { column: { field: 'mode', title: null, header: { labelFontSize: 11, labelColor: '#555' } } },
    spec: {
      width: 300,
      height: 150,
      mark: { type: 'line', point: { size: 30 } },
      encoding: {
        x: {
          field: 'kept',
          type: 'quantitative',
          scale: { type: 'log', domain: [2, 60] },
          axis: { values: [5, 10, 25, 50], format: 'd' },
          title: 'bytes held, % of float32',
        },
        y: { field: 'score', type: 'quantitative', scale: { domain: [0, 1] }, title: 'mean score' },
        color: { field: 'method', type: 'nominal', title: null, legend: { labelLimit: 300 }, scale: { range: COLORS } },
      },
    },
  })
  const spec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    background: 'white',
    data: { values },
    vconcat: unique(values.map(({ kind }) => kind)).map(panel),
    resolve: { scale: { color: 'independent' } },
  }
  writeFileSync(file, await new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' }).toSVG())
}

export async function writeEvictionPage() {
  const agnostic = read('agnostic'),
    aware = read('aware'),
    perplexity = read('perplexity'),
    peak = read('peak'),
    cost = read('cost'),
    smollmAgnostic = read('smollm-agnostic'),
    smollmAware = read('smollm-aware')
  const modes = [
    { title: 'query-agnostic', result: agnostic },
    { title: 'question-aware', result: aware },
  ].filter(({ result }) => result)
  if (modes.length > 0) await picture(modes, 'docs/eviction.svg')
  const samples = (result) => result.rows[0].n
  const parts = [readFileSync('docs/eviction-text.md', 'utf8').trimEnd()]
  const add = (title, ...blocks) => parts.push(`## ${title}`, ...blocks)
  if (modes.length > 0) parts.push('![Mean score against bytes held, by what a method looks at](eviction.svg)')
  if (agnostic)
    add(
      'Query-agnostic: rows leave before any question is seen',
      `Mean over eight tasks, ${samples(agnostic)} samples each.`,
      scoreTable(agnostic),
      taskTable(agnostic, '25%'),
    )
  if (aware)
    add(
      'Question-aware: the question is part of the prompt when rows leave',
      `Mean over eight tasks, ${samples(aware)} samples each.`,
      scoreTable(aware),
      taskTable(aware, '5%'),
    )
  if (perplexity)
    add(
      'Perplexity of the last 256 of 4,096 tokens',
      `${samples(perplexity)} texts; the 256 tokens are decoded one by one.`,
      perplexityTable(perplexity),
    )
  if (peak)
    add(
      'The peak while a prompt is read',
      'All working memory of the cache included: queries, softmax state, tables, scores.',
      peakTable(peak),
    )
  if (cost)
    add(
      'What choosing costs',
      `\`npx kvfold bench --compression\`, a quarter of the rows, medians. ${cost.machine.cpu}, one thread, Node ${cost.machine.node}.`,
      costTable(cost),
    )
  for (const [title, result] of [
    ['SmolLM2-135M, query-agnostic', smollmAgnostic],
    ['SmolLM2-135M, question-aware', smollmAware],
  ])
    if (result) add(title, `2,048 tokens, a quarter of the rows, ${samples(result)} samples a task.`, taskTable(result, '25%'))
  writeFileSync('docs/eviction.md', `${parts.join('\n\n')}\n`)
}
