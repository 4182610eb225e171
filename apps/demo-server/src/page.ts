import { serveStatic } from '@hono/node-server/serve-static'
import type { MiddlewareHandler } from 'hono'
import type { Env } from './env.ts'

const YEAR = 365 * 24 * 3600

/** Serves the files of a folder. Those in `assets` have a hash in their names, and never change; all others are asked for anew. */
export function page(root: string): MiddlewareHandler<Env> {
  const files = serveStatic<Env>({ root })
  return async (c, next) => {
    const response = await files(c, next)
    if (response?.ok)
      response.headers.set('cache-control', c.req.path.startsWith('/assets/') ? `public, max-age=${YEAR}, immutable` : 'no-cache')
    return response
  }
}
