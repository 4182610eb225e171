import { KvFoldError } from '@kvfold/kv-core'

/** A task, length or count that cannot be evaluated. */
export class EvaluationError extends KvFoldError {
  constructor(message: string) {
    super('EVALUATION', message)
  }
}
