// Prints the benchmark as an aligned table, or with --json as JSON. Build the package first.
import { benchKernels } from './kernels.mjs'

const rows = await benchKernels()
if (process.argv.includes('--json')) console.log(JSON.stringify(rows, null, 2))
else {
  const cells = rows.map(({ name, ours, other, unit, ratio, goal, pass, note = '' }) => [
    name,
    `${ours.toFixed(2)} ${unit}`,
    `${other.toFixed(2)} ${unit}`,
    ratio.toFixed(3),
    goal.toFixed(2),
    pass ? 'reached' : 'missed',
    note,
  ])
  const table = [['', 'ours', 'other', 'ratio', 'at most', '', ''], ...cells]
  const widths = table[0].map((_, i) => Math.max(...table.map((row) => row[i].length)))
  for (const row of table)
    console.log(
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
        .join('  ')
        .trimEnd(),
    )
}
