import { Hono, type Context } from 'hono'
import { describeRoute, resolver, validator } from 'hono-openapi'
import type { z } from 'zod'
import { chatForm, completionForm, type AnswerForm } from './answers.ts'
import type { AppOptions } from './app.ts'
import type { Work } from './engine.ts'
import type { Env } from './env.ts'
import { InvalidRequestError } from './errors.ts'
import { replyStream, replyWhole } from './reply.ts'
import { chatRequest, chatResponse, completionRequest, completionResponse, errorResponse } from './schemas.ts'
import { chatWork, completionWork } from './work.ts'

/** `/v1/completions` and `/v1/chat/completions`. */
export function completionRoutes({ engine, maxTokens }: AppOptions): Hono<Env> {
  const loaded = engine.shared
  const answer = async (
    c: Context<Env>,
    asked: Work,
    form: AnswerForm,
    { stream, stream_options: options }: Streaming,
  ): Promise<Response> => {
    const job = await engine.start(asked, c.req.raw.signal)
    return stream ? replyStream(c, job, form, options?.include_usage ?? false) : replyWhole(c, job, form)
  }
  return new Hono<Env>()
    .post('/v1/completions', describe('Continue a text', completionResponse), validator('json', completionRequest, refuse), async (c) => {
      const request = c.req.valid('json')
      return answer(c, completionWork(request, loaded, maxTokens), completionForm(loaded.name), request)
    })
    .post('/v1/chat/completions', describe('Answer a conversation', chatResponse), validator('json', chatRequest, refuse), async (c) => {
      const request = c.req.valid('json')
      return answer(c, chatWork(request, loaded, maxTokens), chatForm(loaded.name), request)
    })
}

interface Streaming {
  stream?: boolean | null
  stream_options?: { include_usage?: boolean | null } | null
}

function describe(summary: string, response: z.ZodType): ReturnType<typeof describeRoute> {
  const content = { 'application/json': { schema: resolver(errorResponse) } }
  const error = (description: string): { description: string; content: typeof content } => ({ description, content })
  return describeRoute({
    summary,
    responses: {
      200: {
        description: 'The answer, or with `stream` server-sent events whose last one has `usage` and `kv`',
        content: { 'application/json': { schema: resolver(response) }, 'text/event-stream': { schema: { type: 'string' } } },
      },
      400: error('A request that means nothing, is too long, or asks for what this server does not do'),
      401: error('No API key, or a wrong one'),
      404: error('No such model'),
      409: error('The session is still answering'),
      410: error('The session is gone'),
      413: error('A body that is too large'),
      429: error('No memory for this request now: see Retry-After'),
      503: error('The server is stopping'),
    },
  })
}

/** Names the field that is wrong. */
function refuse(result: { success: boolean; error?: readonly { message: string; path?: readonly unknown[] }[] }): void {
  if (result.success) return
  const [{ message, path = [] }] = result.error!
  const field = path.map((key) => String((key as { key?: unknown }).key ?? key)).join('.')
  throw new InvalidRequestError(
    field ? `${field}: ${message}.` : `${message}: send a JSON object, with content-type application/json.`,
    field,
  )
}
