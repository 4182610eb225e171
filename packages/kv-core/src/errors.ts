/** Every error that KVFold throws on purpose: a `code` for programs and a sentence that says what to do. */
export class KvFoldError extends Error {
  readonly code: string
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.name = new.target.name
  }
}

/** Two parts of a policy cannot work together. Names both and says why. */
export class PolicyConflictError extends KvFoldError {
  constructor(message: string) {
    super('POLICY_CONFLICT', message)
  }
}

/** A policy text or a method's parameters that mean nothing. */
export class PolicySyntaxError extends KvFoldError {
  constructor(message: string) {
    super('POLICY_SYNTAX', message)
  }
}

/** A policy that this model or these kernels cannot run. */
export class UnsupportedPolicyError extends KvFoldError {
  constructor(message: string) {
    super('UNSUPPORTED_POLICY', message)
  }
}

/** A prompt that a policy wants to be read twice waits for its second reading. */
export class ReconstructionError extends KvFoldError {
  constructor(message: string) {
    super('RECONSTRUCTION', message)
  }
}

/** A budget that cannot be kept. */
export class BudgetError extends KvFoldError {
  constructor(message: string) {
    super('BUDGET', message)
  }
}

/** A tensor or a model shape that does not fit. */
export class ShapeError extends KvFoldError {
  constructor(message: string) {
    super('SHAPE', message)
  }
}

/** NaN or infinity where a number must be. */
export class NotFiniteError extends KvFoldError {
  constructor(message: string) {
    super('NOT_FINITE', message)
  }
}

/** A method returned a plan that cannot be applied. */
export class PlanError extends KvFoldError {
  constructor(message: string) {
    super('PLAN', message)
  }
}

/** Use of a cache, store or file after it was disposed or closed. */
export class DisposedError extends KvFoldError {
  constructor(message: string) {
    super('DISPOSED', message)
  }
}

/** A tier that could not keep or give back a page. */
export class TierError extends KvFoldError {
  constructor(message: string, options?: ErrorOptions) {
    super('TIER', message, options)
  }
}

/** A cache file that is damaged, cut short, of a version that is not known, or no cache file at all. */
export class CacheFormatError extends KvFoldError {
  constructor(message: string, options?: ErrorOptions) {
    super('CACHE_FORMAT', message, options)
  }
}

/** A cache file of another model, or of another shape. Names both. */
export class FingerprintMismatchError extends KvFoldError {
  constructor(message: string) {
    super('FINGERPRINT_MISMATCH', message)
  }
}

/** A cache file that was made under another policy. Names both. */
export class PolicyMismatchError extends KvFoldError {
  constructor(message: string) {
    super('POLICY_MISMATCH', message)
  }
}

/** A cache file whose pages are coded in a way that its reader was not given. Names the coding. */
export class MissingCodingError extends KvFoldError {
  constructor(message: string) {
    super('MISSING_CODING', message)
  }
}

/** A cache that cannot be saved yet: it is in the middle of a prompt. */
export class UnfinishedPromptError extends KvFoldError {
  constructor(message: string) {
    super('UNFINISHED_PROMPT', message)
  }
}
