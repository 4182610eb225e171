import { OutOfMemoryError } from '@kvfold/kernels'
import { KvFoldError } from '@kvfold/kv-core'
import { ContextLengthError } from '@kvfold/models'
import { HTTPException } from 'hono/http-exception'
import { HttpError, InvalidRequestError, NotFoundError } from './errors.ts'

/** Codes of errors that a request's own content causes. */
const CONTENT = new Set(['POLICY_SYNTAX', 'POLICY_CONFLICT', 'UNSUPPORTED_POLICY', 'BUDGET', 'MODEL_INPUT'])

/** Any error as an answer. What the client cannot help says nothing of its cause. */
export function httpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error
  if (error instanceof ContextLengthError) return new InvalidRequestError(error.message, 'messages', 'context_length_exceeded')
  if (error instanceof KvFoldError && CONTENT.has(error.code)) {
    const ofPolicy = error.code !== 'MODEL_INPUT'
    return new InvalidRequestError(error.message, ofPolicy ? 'kv_policy' : undefined, error.code.toLowerCase())
  }
  if (error instanceof HTTPException) {
    if (error.status === 404) return new NotFoundError(error.message)
    if (error.status < 500) return new InvalidRequestError(`${error.message}: send a JSON object.`)
  }
  if (error instanceof OutOfMemoryError)
    return new HttpError(503, 'out_of_memory', 'The machine has no memory left for this request: try a shorter one.', { retryAfter: 5 })
  return new HttpError(500, 'internal_error', 'Something went wrong here, and the log of the server says what.')
}

/** In the form that OpenAI's clients expect. */
export function errorBody({ status, message, param, code }: HttpError): object {
  return { error: { message, type: typeOf(status), param, code } }
}

function typeOf(status: HttpError['status']): string {
  if (status === 429) return 'rate_limit_error'
  if (status === 401) return 'authentication_error'
  return status < 500 ? 'invalid_request_error' : 'server_error'
}
