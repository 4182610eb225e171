import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { budgetSize } from '@kvfold/kv-core'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { UsageError } from '../errors.ts'
import { load, REFERENCE } from '../load.ts'
import { registry } from '../registry.ts'
import { integer, threadsOption } from './options.ts'

interface ServeFlags {
  model: string
  threads: number
  port: number
  host: string
  budget: number
  disk: number
  sessions?: string
  apiKey?: string
  maxTokens: number
  maxContext?: number
}

export function serveCommand(program: Command): void {
  program
    .command('serve')
    .summary('serve a model over HTTP')
    .description(
      "Serves a model over HTTP, in the form of OpenAI's interface. A request may name the policy of its cache (kv_policy) and a conversation that the server holds (session). Stops on SIGINT and SIGTERM, when answers at work have ended.",
    )
    .option('-m, --model <model>', 'reference, a folder, a .gguf file, or a repository on the Hugging Face hub', REFERENCE)
    .option('--port <n>', '0 takes any that is free', integer(0), 8080)
    .option('--host <address>', 'where to listen: 0.0.0.0 lets other machines in', '127.0.0.1')
    .option('--budget <bytes>', 'of all caches together, such as 512MB', size, 512e6)
    .option('--disk <bytes>', 'of session files', size, 4e9)
    .option('--sessions <folder>', 'where idle sessions lie, also when the server is off (default: one for temporary files)')
    .addOption(new Option('--api-key <key>', 'that every request must bring').env('KVFOLD_API_KEY'))
    .addOption(threadsOption())
    .option('--max-tokens <n>', 'most new tokens of a request', integer(1), 1024)
    .option('--max-context <n>', 'most tokens of a prompt and its answer (default: what the model knows)', integer(2))
    .addHelpText('after', '\nExamples:\n  kvfold serve\n  kvfold serve --port 9000 --budget 2GB --sessions ./sessions')
    .action(serve)
}

/** Bytes: a number, or one with a unit. */
function size(text: string): number {
  try {
    const given = budgetSize(text)
    if ('bytes' in given) return given.bytes
    if ('tokens' in given) return given.tokens
  } catch {
    // Said below.
  }
  throw new InvalidArgumentError('Give bytes, such as 512MB or 2GiB.')
}

/** The folder of the playground; undefined in a checkout that was not built. */
function page(): string | undefined {
  const index = fileURLToPath(import.meta.resolve('@kvfold/playground/dist/index.html'))
  return existsSync(index) ? dirname(index) : undefined
}

async function serve({ model, threads, apiKey, ...options }: ServeFlags): Promise<void> {
  if (apiKey === '') throw new UsageError('The API key is empty: give one, or leave it out.')
  // Only this command needs a server.
  const server = await import('@kvfold/demo-server')
  const loaded = await load(model, false, threads)
  const { url, close } = await server
    .serve({ ...loaded, ...options, apiKey, registry, page: page() })
    .catch((error: NodeJS.ErrnoException) => {
      if (!error.syscall) throw error
      throw new UsageError(`The server cannot start (${error.message}): choose another port, host or folder.`)
    })
  console.error(`Serving ${model} at ${url} (Ctrl+C stops it)`)
  // Elsewhere an interrupt ends the program at once.
  process.removeAllListeners('SIGINT')
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  await close()
  loaded.model.dispose()
}
