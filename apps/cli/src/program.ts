import { Command } from 'commander'
import { benchCommand } from './commands/bench.ts'
import { cacheCommand } from './commands/cache.ts'
import { calibrateCommand } from './commands/calibrate.ts'
import { demoCommand } from './commands/demo.ts'
import { evalCommand } from './commands/eval.ts'
import { headsCommand } from './commands/heads.ts'
import { methodsCommand } from './commands/methods.ts'
import { runCommand } from './commands/run.ts'
import { serveCommand } from './commands/serve.ts'
import { version } from './version.ts'

/** The command line. It throws instead of exiting. */
export function createProgram(): Command {
  const program = new Command('kvfold')
    .description("Keeps a transformer's key-value cache small, and shows what that costs.")
    .version(version)
    .showHelpAfterError('Add --help for help.')
    .exitOverride()
  for (const add of [
    runCommand,
    cacheCommand,
    evalCommand,
    methodsCommand,
    headsCommand,
    calibrateCommand,
    demoCommand,
    benchCommand,
    serveCommand,
  ])
    add(program)
  return program
}
