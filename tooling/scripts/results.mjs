// What the scripts that measure share: the parts that were asked for, how results are kept, tables.
import { mkdirSync, writeFileSync } from 'node:fs'

/** The parts named on the command line, all without names, none with --page. Ends the process at a name that is none. */
export function namedParts(parts, kind = 'part') {
  const named = process.argv.slice(2).filter((arg) => !arg.startsWith('--'))
  const unknown = named.find((name) => !(name in parts))
  if (unknown) {
    console.error(`There is no ${kind} "${unknown}": use ${Object.keys(parts).join(', ')}.`)
    process.exit(2)
  }
  mkdirSync('docs/results', { recursive: true })
  if (process.argv.includes('--page')) return []
  return named.length > 0 ? named : Object.keys(parts)
}

/** Writes rows one a line, numbers in six digits. */
export function writeRows(file, about, rows) {
  const lines = rows.map((row) => JSON.stringify(row, (_, value) => (typeof value === 'number' ? Number(value.toPrecision(6)) : value)))
  writeFileSync(file, `${JSON.stringify(about).slice(0, -1)},"rows":[\n${lines.join(',\n')}\n]}\n`)
}

export const unique = (values) => [...new Set(values)]
export const row = (...cells) => `| ${cells.join(' | ')} |`
export const table = (head, lines) =>
  [row(...head), row(...head.map((_, i) => (i === 0 ? '---' : '---:'))), ...lines.map((cells) => row(...cells))].join('\n')
