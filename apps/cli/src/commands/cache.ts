import type { Command } from 'commander'
import { cacheInspectCommand } from './cache-inspect.ts'
import { cacheLoadCommand } from './cache-load.ts'
import { cacheSaveCommand } from './cache-save.ts'

export function cacheCommand(program: Command): void {
  const cache = program
    .command('cache')
    .summary('keep the cache of a document in a file')
    .description(
      'Keeps the compressed cache of a document in a file, so that questions about it need not read it again. The file is a safetensors container with checksums; it loads for the model and the policy that made it.',
    )
    .addHelpText(
      'after',
      `
Examples:
  kvfold cache save book.kv -c book.txt -p "kivi(bits=4)"
  kvfold cache inspect book.kv
  kvfold cache load book.kv -q "Who is the captain?"`,
    )
  for (const add of [cacheSaveCommand, cacheLoadCommand, cacheInspectCommand]) add(cache)
}
