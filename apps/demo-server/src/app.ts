import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { requestId } from 'hono/request-id'
import { secureHeaders } from 'hono/secure-headers'
import type { Logger } from 'pino'
import { completionRoutes } from './completion-routes.ts'
import type { Engine } from './engine.ts'
import type { Env } from './env.ts'
import { BodyTooLargeError, ClientLeftError, NotFoundError } from './errors.ts'
import { errorBody, httpError } from './http-error.ts'
import { infoRoutes } from './info-routes.ts'
import { openApiRoute } from './open-api.ts'
import { page } from './page.ts'
import { requireKey } from './require-key.ts'

/** Bytes of a body: JSON, with escapes, of the longest prompt. */
const BYTES_PER_TOKEN = 16
const OTHER_BYTES = 64 * 1024

/** What a page of this server may load: itself, WebAssembly, and models from elsewhere. */
const CONTENT_POLICY = {
  defaultSrc: ["'self'"],
  scriptSrc: ["'self'", "'wasm-unsafe-eval'"],
  workerSrc: ["'self'", 'blob:'],
  styleSrc: ["'self'", "'unsafe-inline'"],
  imgSrc: ["'self'", 'data:', 'blob:'],
  connectSrc: ["'self'", 'https:'],
  frameAncestors: ["'none'"],
}

export interface AppOptions {
  engine: Engine
  log: Logger
  /** Most new tokens of a request. */
  maxTokens: number
  /** Without one nobody is asked. */
  apiKey?: string
  /** The folder of the page, if there is one. */
  page?: string
}

/** All routes, without a socket. */
export function createApp(options: AppOptions): Hono<Env> {
  const { engine, log, apiKey } = options
  const { metrics, maxContext } = engine.shared
  const maxSize = maxContext * BYTES_PER_TOKEN + OTHER_BYTES
  const app = new Hono<Env>()
  app.use(requestId(), async (c, next) => {
    const start = performance.now()
    c.set('log', log.child({ request: c.var.requestId }))
    await next()
    const { method, path } = c.req
    const { status } = c.res
    // Only paths that there are: whoever guesses others must not fill the memory.
    metrics.requests.inc({ route: status === 404 ? 'none' : path.startsWith('/assets/') ? '/assets' : path, status })
    c.var.log[path === '/healthz' ? 'debug' : 'info']({ method, path, status, ms: Math.round(performance.now() - start) }, 'request')
  })
  // Isolated, a page's threads may share memory.
  app.use(secureHeaders({ contentSecurityPolicy: CONTENT_POLICY, crossOriginEmbedderPolicy: true, strictTransportSecurity: false }))
  app.onError((error, c) => {
    const known = c.req.raw.signal.aborted ? new ClientLeftError() : httpError(error)
    if (known.status === 500) c.var.log.error({ error }, 'request failed')
    if (known.retryAfter !== undefined) c.header('retry-after', String(known.retryAfter))
    if (known.status === 401) c.header('www-authenticate', 'Bearer')
    return c.json(errorBody(known), known.status)
  })
  app.notFound((c) => c.json(errorBody(new NotFoundError('There is nothing here: see /openapi.json.')), 404))
  if (apiKey !== undefined) for (const path of ['/v1/*', '/metrics']) app.use(path, requireKey(apiKey))
  app.use(
    '/v1/*',
    bodyLimit({
      maxSize,
      onError: () => {
        throw new BodyTooLargeError(maxSize)
      },
    }),
  )
  app.route('/', completionRoutes(options))
  app.route('/', infoRoutes(engine))
  openApiRoute(app, apiKey !== undefined)
  if (options.page !== undefined) app.use('/*', page(options.page))
  return app
}
