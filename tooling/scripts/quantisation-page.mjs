// Writes docs/quantisation.md and its picture from what measure-quantisation.mjs left in docs/results.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import * as vega from 'vega'
import { compile } from 'vega-lite'
import { table, unique } from './results.mjs'

export const resultFile = (name) => `docs/results/quantisation-${name}.json`
const read = (name) => (existsSync(resultFile(name)) ? JSON.parse(readFileSync(resultFile(name), 'utf8')) : undefined)

const code = (policy) => (policy === 'full' ? 'full cache' : `\`${policy}\``)
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`

/** A policy's results on all tasks; its bits are those of the longest text that it held, the perplexity's. */
function byPolicy({ rows }) {
  return unique(rows.map((r) => r.policy)).map((policy) => {
    const own = Object.fromEntries(rows.filter((r) => r.policy === policy).map((r) => [r.task, r]))
    return { policy, own, bits: (own.perplexity ?? Object.values(own)[0]).bitsPerNumber }
  })
}

function fidelityTable(result, methods) {
  const all = byPolicy(result)
  const tasks = unique(result.rows.map((r) => r.task)).filter((task) => task !== 'perplexity')
  const line = ({ policy, own, bits }, nominal) => [
    code(policy),
    nominal,
    bits.toFixed(2),
    own.perplexity.score.toFixed(2),
    policy === 'full' ? '' : own.perplexity.kld.toExponential(1),
    policy === 'full' ? '' : `${(100 * own.perplexity.top1Agreement).toFixed(1)} %`,
    ...tasks.map((task) => own[task].score.toFixed(2)),
  ]
  const lines = [line(all[0], '32')]
  for (const nominal of Object.keys(methods).sort((a, b) => b - a)) {
    const some = all.filter(({ policy }) => methods[nominal].includes(policy))
    for (const one of some.sort((a, b) => a.own.perplexity.kld - b.own.perplexity.kld)) lines.push(line(one, nominal))
  }
  return table(['', 'nominal bits', 'bits per number, all in', 'perplexity', 'KL divergence', 'top-1', ...tasks], lines)
}

function equalTable(result) {
  const tasks = unique(result.rows.map((r) => r.task))
  return table(
    ['', 'held', ...tasks],
    byPolicy(result).map(({ policy, own }) => [
      code(policy),
      megabytes(Object.values(own)[0].kvBytes),
      ...tasks.map((task) => own[task].score.toFixed(2)),
    ]),
  )
}

function decodeTable({ rows }) {
  return table(
    ['a decode step over 4,096 tokens under', 'time', 'of the full cache’s'],
    rows.toSorted((a, b) => a.ratio - b.ratio).map((r) => [code(r.policy), `${r.msPerToken.toFixed(1)} ms`, r.ratio.toFixed(2)]),
  )
}

function fileTable({ rows }) {
  return table(
    ['a file of 4,096 tokens under', 'coding', 'bytes', 'per 1,000 tokens', 'of float32', 'loads in', 'prefill takes'],
    rows.map((r) => [
      code(r.policy),
      r.coding,
      megabytes(r.bytes),
      `${((r.bytes / r.context) * 1e-3).toFixed(2)} MB`,
      `${((100 * r.bytes) / r.fullF32Bytes).toFixed(1)} %`,
      `${r.loadMs.toFixed(0)} ms`,
      `${(r.prefillMs / r.loadMs).toFixed(0)} times as long`,
    ]),
  )
}

/** KL divergence against bits, one panel per setting; names beside the points. */
async function picture(panels, file) {
  const values = panels.flatMap(({ title, result }) =>
    byPolicy(result)
      .filter(({ policy }) => policy !== 'full')
      .map(({ policy, own, bits }) => ({
        setting: title,
        policy: policy.replace(/, residual=32|residual=32/, '').replace('()', ''),
        method: policy.split('(')[0],
        bits,
        kld: Math.max(own.perplexity.kld, 1e-6),
      })),
  )
  const encoding = {
    x: { field: 'bits', type: 'quantitative', scale: { type: 'log', domain: [1.8, 12] }, axis: { values: [2, 3, 4, 5, 6, 8, 10] } },
    y: {
      field: 'kld',
      type: 'quantitative',
      scale: { type: 'log' },
      title: 'KL divergence to the full cache, nats',
      axis: { format: '.0e' },
    },
  }
  encoding.x.title = 'bits per number, all overhead counted'
  const panel = (title) => ({
    title: { text: title, anchor: 'start', fontSize: 12 },
    transform: [{ filter: { field: 'setting', equal: title } }],
    width: 640,
    height: 380,
    layer: [
      {
        mark: { type: 'point', filled: true, size: 50 },
        encoding: { ...encoding, color: { field: 'method', type: 'nominal', title: null } },
      },
      { mark: { type: 'text', dx: 6, align: 'left', fontSize: 9 }, encoding: { ...encoding, text: { field: 'policy' } } },
    ],
  })
  const spec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    background: 'white',
    data: { values },
    vconcat: unique(values.map(({ setting }) => setting)).map(panel),
  }
  writeFileSync(file, await new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' }).toSVG())
}

export async function writeQuantisationPage(methods) {
  const settings = [
    { title: 'Reference model, 4,096 tokens', result: read('4k') },
    { title: 'Reference model, 8,192 tokens', result: read('8k') },
    { title: 'SmolLM2-135M, 2,048 tokens', result: read('smollm') },
  ].filter(({ result }) => result)
  const equal = read('equal-bytes'),
    steps = read('decode'),
    stored = read('files')
  const parts = [readFileSync('docs/quantisation-text.md', 'utf8').trimEnd()]
  const add = (title, ...blocks) => parts.push(`## ${title}`, ...blocks)
  if (settings.length > 0) {
    await picture(settings, 'docs/quantisation.svg')
    parts.push('![KL divergence against bits per number](quantisation.svg)')
  }
  for (const { title, result } of settings) {
    const samples = Object.fromEntries(result.rows.map((r) => [r.task, r.n]))
    add(
      title,
      `Samples: ${Object.entries(samples)
        .map(([task, n]) => `${task} ${n}`)
        .join(', ')}.`,
      fidelityTable(result, methods),
    )
  }
  if (equal) add('All rows in few bits, or few rows', `${equal.rows[0].n} samples a task, query-agnostic.`, equalTable(equal))
  if (steps) add('A decode step', 'Of the reference model, all in one process, in turns, the best of 24.', decodeTable(steps))
  if (stored) add('Cache files', 'The best of three loads; the prefill as it was that once.', fileTable(stored))
  writeFileSync('docs/quantisation.md', `${parts.join('\n\n')}\n`)
}
