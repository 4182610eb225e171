import type { Command } from 'commander'
import { inspectCache } from '@kvfold/kv-core'
import { fileSource } from '@kvfold/models/node'
import { bytes, percentage } from '../terminal/format.ts'
import { table } from '../terminal/table.ts'

export function cacheInspectCommand(cache: Command): void {
  cache
    .command('inspect')
    .summary('what a kept cache holds')
    .description('Shows what a cache file holds, and checks that no byte of it is damaged.')
    .argument('<file>', 'a cache that `kvfold cache save` wrote')
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  kvfold cache inspect book.kv\n  kvfold cache inspect book.kv --json')
    .action(inspect)
}

async function inspect(file: string, { json }: { json?: boolean }): Promise<void> {
  const source = await fileSource(file)
  try {
    const { info, policy, fingerprint, tokens, layers, rows, bytes: size, coding, parts } = await inspectCache(source)
    const model = info['model'] ?? null
    if (json) {
      console.log(JSON.stringify({ model, policy, fingerprint, tokens, layers, rows, bytes: size, coding: coding ?? null, parts }))
      return
    }
    const facts = [
      ['model', `${model ?? 'not named'} (${fingerprint})`],
      ['policy', policy],
      ['tokens', `${tokens} seen, ${rows} rows kept in ${layers} layers`],
    ]
    if (coding) facts.push(['coding', `${coding.name}: ${bytes(coding.bytes)}, and ${bytes(coding.plainBytes)} without`])
    const shares = Object.entries(parts)
      .filter(([, count]) => count > 0)
      .map(([name, count]) => [name, bytes(count), percentage(count / size)])
    console.log(facts.map(([name, text]) => `${name.padEnd(8)} ${text}`).join('\n'))
    console.log(`\n${table(['part', 'bytes', 'share'], [...shares, ['all', bytes(size), '']], [1, 2])}`)
  } finally {
    await source.close?.()
  }
}
