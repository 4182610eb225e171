import { KvFoldError } from '@kvfold/kv-core'

/** Something on the command line that cannot be used. */
export class UsageError extends KvFoldError {
  constructor(message: string) {
    super('USAGE', message)
  }
}
