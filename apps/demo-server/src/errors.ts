import { KvFoldError } from '@kvfold/kv-core'

/** An answer that is no success: what a client of OpenAI's interface expects, and a sentence that says what to do. */
export class HttpError extends KvFoldError {
  readonly status: 400 | 401 | 404 | 408 | 409 | 410 | 413 | 429 | 500 | 503
  /** The field of the request that is wrong. */
  readonly param: string | null
  /** Seconds after which it is worth trying again. */
  readonly retryAfter: number | undefined

  constructor(status: HttpError['status'], code: string, message: string, more: { param?: string; retryAfter?: number } = {}) {
    super(code, message)
    this.status = status
    this.param = more.param ?? null
    this.retryAfter = more.retryAfter
  }
}

/** A request that means nothing, or asks for what this server does not do. */
export class InvalidRequestError extends HttpError {
  constructor(message: string, param?: string, code: string = 'invalid_request') {
    super(400, code, message, { param })
  }
}

/** A body that is larger than any prompt this model takes. */
export class BodyTooLargeError extends HttpError {
  constructor(limit: number) {
    super(413, 'body_too_large', `The body is larger than ${limit} bytes: send a shorter prompt.`)
  }
}

/** No key, or a wrong one. */
export class UnauthorizedError extends HttpError {
  constructor() {
    super(401, 'invalid_api_key', 'This server wants its API key: send "Authorization: Bearer KEY".')
  }
}

/** Nothing lies there, or no model has that name. */
export class NotFoundError extends HttpError {
  constructor(message: string, code: string = 'not_found') {
    super(404, code, message)
  }
}

/** The caches that are held leave no room for this request now. */
export class BusyError extends HttpError {
  constructor(bytes: number, retryAfter: number) {
    super(
      429,
      'memory_full',
      `This request may need ${bytes} bytes of cache, and others hold the memory: try again in ${retryAfter} s, or choose a smaller max_tokens.`,
      { retryAfter },
    )
  }
}

/** A session takes one turn at a time. */
export class SessionBusyError extends HttpError {
  constructor(id: string) {
    super(409, 'session_busy', `The session "${id}" is still answering: wait for its answer, then send the next turn.`, {
      param: 'session',
    })
  }
}

/** A session that was held and is gone: its file was damaged, or the disk had no room for it. */
export class SessionLostError extends HttpError {
  constructor(id: string, why: string) {
    super(410, 'session_lost', `The session "${id}" is gone (${why}): begin a new one, under another name.`, { param: 'session' })
  }
}

/** The client closed its connection, or does not read what it asked for. Nobody sees this answer but the log. */
export class ClientLeftError extends HttpError {
  constructor() {
    super(408, 'client_left', 'The client left before its answer was ready.')
  }
}

/** The server takes no more requests. */
export class StoppingError extends HttpError {
  constructor() {
    super(503, 'stopping', 'This server is stopping: ask another, or try again when it is back.', { retryAfter: 5 })
  }
}
