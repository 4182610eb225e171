import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { pino, type Logger } from 'pino'
import { openServer, type ServerOptions } from './open-server.ts'

/** Milliseconds for headers, for a whole request, and between two requests of a connection. */
const TIMEOUTS = { headersTimeout: 5_000, requestTimeout: 30_000, keepAliveTimeout: 5_000, connectionsCheckingInterval: 1_000 }
/** Milliseconds that answers have to end when the server stops. */
const GRACE = 10_000

export interface ServeOptions extends Omit<ServerOptions, 'log'> {
  /** 0: any that is free. */
  port: number
  host: string
  /** Default: lines of JSON on the standard output. */
  log?: Logger
}

/** A server that answers. */
export interface Serving {
  url: string
  /** Takes no more requests, lets answers end for ten seconds, then cuts them off; writes sessions to their folder. */
  close(): Promise<void>
}

/** Serves a model over HTTP. Throws what the file system and the network throw: a port that is taken, a folder that cannot be made. */
export async function serve({ port, host, log = pino(), ...options }: ServeOptions): Promise<Serving> {
  const { app, close } = await openServer({ ...options, log })
  const server = createAdaptorServer({ fetch: app.fetch, hostname: host, serverOptions: TIMEOUTS }) as Server
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    await close(0)
    throw error
  }
  const { address, family, port: own } = server.address() as AddressInfo
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${own}`,
    async close() {
      const closed = once(server, 'close')
      server.close()
      await close(GRACE)
      server.closeAllConnections()
      await closed
    },
  }
}
