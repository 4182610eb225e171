import type { Context } from 'hono'
import { streamSSE, type SSEStreamingApi } from 'hono/streaming'
import { usageOf, type AnswerForm } from './answers.ts'
import type { Env } from './env.ts'
import { ClientLeftError } from './errors.ts'
import { errorBody, httpError } from './http-error.ts'
import type { Job, Outcome } from './job.ts'

/** Milliseconds that a client may take to read a piece of a stream. */
const SEND = 30_000

/** Answers in one piece. */
export async function replyWhole(c: Context<Env>, job: Job, form: AnswerForm): Promise<Response> {
  const pieces: string[] = []
  try {
    const steps = job.text()
    for (;;) {
      const { value, done } = await steps.next()
      if (!done) {
        pieces.push(value)
        continue
      }
      note(c, job, value)
      return c.json({ ...form.whole(pieces.join(''), value.finish), usage: usageOf(job, value), kv: value.kv })
    }
  } finally {
    await job.close()
  }
}

/** Answers token by token, as server-sent events. The last one before `[DONE]` has what it took. */
export function replyStream(c: Context<Env>, job: Job, form: AnswerForm, includeUsage: boolean): Response {
  return streamSSE(c, async (stream) => {
    stream.onAbort(() => job.abort(new ClientLeftError()))
    const send = sender(c, stream, job)
    try {
      if (form.first) await send(form.first())
      const steps = job.text()
      for (;;) {
        const { value, done } = await steps.next()
        if (!done) {
          const kv = job.held
          await send({ ...form.piece(value), ...(kv && { kv }) })
          continue
        }
        note(c, job, value)
        const took = { usage: usageOf(job, value), kv: value.kv }
        if (!includeUsage) await send({ ...form.last(value.finish), ...took })
        else {
          await send({ ...form.last(value.finish), usage: null })
          await send({ ...form.last(value.finish), choices: [], ...took })
        }
        await stream.writeSSE({ data: '[DONE]' })
        return
      }
    } catch (error) {
      if (stream.aborted) return
      const known = httpError(error)
      if (known.status === 500) c.var.log.error({ error }, 'stream failed')
      await stream.writeSSE({ data: JSON.stringify(errorBody(known)) })
    } finally {
      await job.close()
    }
  })
}

/** Sends events; a client that does not read them is cut off. */
function sender(c: Context<Env>, stream: SSEStreamingApi, job: Job): (event: object) => Promise<void> {
  return async (event) => {
    const timer = setTimeout(() => {
      job.abort(new ClientLeftError())
      c.env.outgoing.destroy()
    }, SEND)
    await stream.writeSSE({ data: JSON.stringify(event) })
    clearTimeout(timer)
    if (stream.aborted) throw new ClientLeftError()
  }
}

function note(c: Context<Env>, { promptTokens, cachedTokens }: Job, { newTokens, finish, kv: { policy, bytes } }: Outcome): void {
  c.var.log.info({ promptTokens, cachedTokens, newTokens, finish, policy, bytes }, 'answered')
}
