import type { HttpBindings } from '@hono/node-server'
import type { RequestIdVariables } from 'hono/request-id'
import type { Logger } from 'pino'

/** What handlers find in their context. */
export interface Env {
  Bindings: HttpBindings
  Variables: RequestIdVariables & { log: Logger }
}
