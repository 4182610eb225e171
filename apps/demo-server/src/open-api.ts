import type { Hono } from 'hono'
import { openAPIRouteHandler } from 'hono-openapi'
import type { Env } from './env.ts'

/** `/openapi.json`: the description of all routes that say what they do. */
export function openApiRoute(app: Hono<Env>, wantsKey: boolean): void {
  app.get(
    '/openapi.json',
    openAPIRouteHandler(app, {
      documentation: {
        openapi: '3.1.0',
        info: {
          title: 'KVFold',
          version: '1',
          description: "OpenAI's completions, whose key-value cache is compressed as the request says.",
        },
        ...(wantsKey && {
          components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
          security: [{ key: [] }],
        }),
      },
    }),
  )
}
