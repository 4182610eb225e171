import { KvFoldError } from '@kvfold/kv-core'

/** A model file that is damaged, cut short, or not what its name says. */
export class ModelFormatError extends KvFoldError {
  constructor(message: string, options?: ErrorOptions) {
    super('MODEL_FORMAT', message, options)
  }
}

/** A sound model file of a kind that this decoder does not run. */
export class UnsupportedModelError extends KvFoldError {
  constructor(message: string) {
    super('UNSUPPORTED_MODEL', message)
  }
}

/** More positions than the model knows. */
export class ContextLengthError extends KvFoldError {
  /** Positions that the model knows. */
  readonly limit: number
  constructor(message: string, limit: number) {
    super('CONTEXT_LENGTH', message)
    this.limit = limit
  }
}

/** Tokens or options that no model takes: empty input, a token outside the vocabulary, a negative temperature. */
export class ModelInputError extends KvFoldError {
  constructor(message: string) {
    super('MODEL_INPUT', message)
  }
}

/** A file that could not be fetched whole. */
export class DownloadError extends KvFoldError {
  /** HTTP status, if a server answered. */
  readonly status: number | undefined
  constructor(message: string, options?: ErrorOptions & { status?: number }) {
    super('DOWNLOAD', message, options)
    this.status = options?.status
  }
}
