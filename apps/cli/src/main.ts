import { OutOfMemoryError } from '@kvfold/kernels'
import { KvFoldError } from '@kvfold/kv-core'
import { CommanderError } from 'commander'
import pc from 'picocolors'
import { createProgram } from './program.ts'

/** 0: done; 2: something given cannot be used; 1: a fault of ours. */
async function main(): Promise<number> {
  try {
    await createProgram().parseAsync()
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    if (error instanceof KvFoldError || error instanceof OutOfMemoryError) {
      console.error(`${pc.red('error:')} ${error.message}`)
      return 2
    }
    console.error(error)
    return 1
  }
}

// An interrupted run still leaves through `exit`, where temporary stores are removed.
process.once('SIGINT', () => process.exit(130))
// Whoever reads our output, `head` say, may have read enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})
process.exitCode = await main()
