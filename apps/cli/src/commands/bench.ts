import { cpus } from 'node:os'
import type { Command } from 'commander'
import pc from 'picocolors'
import { benchCompression } from '../bench/compression.ts'
import { benchDecode } from '../bench/decode.ts'
import type { BenchRow } from '../bench/compare.ts'
import { benchPrefill } from '../bench/prefill.ts'
import { benchShare } from '../bench/share.ts'
import { benchWeights } from '../bench/weights.ts'
import { load, REFERENCE } from '../load.ts'
import { significant } from '../terminal/format.ts'
import { percent, startTask } from '../terminal/task.ts'
import { table } from '../terminal/table.ts'
import { threadsOption } from './options.ts'

export function benchCommand(program: Command): void {
  program
    .command('bench')
    .summary('measure speed, both sides in one process')
    .description(
      'Measures speed against what it is judged by: packed caches against the raw one, the cache against tfjs operations and a plain read, products with packed weights, prefill against its matrix products. Both sides run in turn in one process; times are medians.',
    )
    .option('-m, --model <model>', 'whose shape and weights to measure', REFERENCE)
    .option(
      '--compression',
      'measure instead what choosing rows costs: a prompt under every eviction method against one under none (six minutes)',
    )
    .addOption(threadsOption())
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  kvfold bench\n  kvfold bench --compression')
    .action(bench)
}

interface BenchOptions {
  model: string
  threads: number
  compression?: boolean
  json?: boolean
}

async function bench({ model, threads, compression = false, json = false }: BenchOptions): Promise<void> {
  const loaded = await load(model, json, threads)
  const task = startTask('Measuring', json)
  let rows: BenchRow[]
  if (compression) rows = await benchCompression(loaded, 4096, (done, total) => task.update(percent(done, total)))
  else {
    rows = []
    for (const held of [4096, 8192, 32_768]) {
      task.update(`decode, ${held.toLocaleString('en')} rows ...`)
      rows.push(...(await benchDecode(loaded, held)))
    }
    task.update('weights ...')
    rows.push(...(await benchWeights(loaded.kernels)), await benchShare(loaded, 8192))
    task.update('prefill ...')
    rows.push(await benchPrefill(loaded, 4096))
  }
  task.stop()
  const [cpu] = cpus()
  const machine = { cpu: cpu?.model ?? 'unknown', cores: cpus().length, node: process.version, kernels: loaded.kernels.name }
  if (json) console.log(JSON.stringify({ machine, rows }))
  else {
    console.log(
      table(
        ['', 'ours', 'other', 'ratio', 'goal'],
        rows.map((row) => [row.name, `${significant(row.ours)} ms`, `${significant(row.other)} ms`, row.ratio.toFixed(2), goal(row)]),
        [1, 2, 3],
      ),
    )
    console.log(pc.dim(`\n${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, ${machine.kernels} kernels`))
  }
}

function goal({ goal: most, pass }: BenchRow): string {
  if (most === Infinity) return pc.dim('none')
  return pass ? pc.green(`<= ${most}`) : pc.red(`<= ${most}`)
}
