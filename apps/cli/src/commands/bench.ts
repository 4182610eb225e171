import { cpus } from 'node:os'
import type { Command } from 'commander'
import pc from 'picocolors'
import { benchDecode } from '../bench/decode.ts'
import { benchPrefill } from '../bench/prefill.ts'
import { load, REFERENCE } from '../load.ts'
import { significant } from '../terminal/format.ts'
import { startTask } from '../terminal/task.ts'
import { table } from '../terminal/table.ts'

export function benchCommand(program: Command): void {
  program
    .command('bench')
    .summary('measure speed, both sides in one process')
    .description(
      'Measures speed against what it is judged by: packed caches against the raw one, the cache against tfjs operations, prefill against its matrix products. Both sides run in turn in one process; times are medians.',
    )
    .option('-m, --model <model>', 'whose shape and weights to measure', REFERENCE)
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  kvfold bench')
    .action(bench)
}

async function bench({ model, json = false }: { model: string; json?: boolean }): Promise<void> {
  const loaded = await load(model, json)
  const task = startTask('Measuring', json)
  task.update('decode ...')
  const rows = await benchDecode(loaded, 8192)
  task.update('prefill ...')
  rows.push(await benchPrefill(loaded, 4096))
  task.stop()
  const [cpu] = cpus()
  const machine = { cpu: cpu?.model ?? 'unknown', cores: cpus().length, node: process.version, kernels: loaded.kernels.name }
  if (json) console.log(JSON.stringify({ machine, rows }))
  else {
    console.log(
      table(
        ['', 'ours', 'other', 'ratio', 'goal'],
        rows.map((row) => [
          row.name,
          `${significant(row.ours)} ms`,
          `${significant(row.other)} ms`,
          row.ratio.toFixed(2),
          row.pass ? pc.green(`<= ${row.goal}`) : pc.red(`<= ${row.goal}`),
        ]),
        [1, 2, 3],
      ),
    )
    console.log(pc.dim(`\n${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, ${machine.kernels} kernels`))
  }
}
