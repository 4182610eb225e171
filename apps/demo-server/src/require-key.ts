import { createHash, timingSafeEqual } from 'node:crypto'
import type { MiddlewareHandler } from 'hono'
import { UnauthorizedError } from './errors.ts'

/** Lets through who sends the key. How long a refusal takes says nothing about the key: equally long digests are compared. */
export function requireKey(key: string): MiddlewareHandler {
  const wanted = digest(key)
  return async (c, next) => {
    const given = /^Bearer +(.+)$/i.exec(c.req.header('authorization') ?? '')?.[1] ?? ''
    if (!timingSafeEqual(digest(given), wanted)) throw new UnauthorizedError()
    await next()
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
