import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Registry } from '@kvfold/kv-core'
import type { Hono } from 'hono'
import type { Logger } from 'pino'
import { createApp } from './app.ts'
import { Budget } from './budget.ts'
import { Engine, type Loaded } from './engine.ts'
import type { Env } from './env.ts'
import { createMetrics, watchMemory } from './metrics.ts'
import { Prefixes } from './prefixes.ts'
import { requestPolicy } from './request-policy.ts'
import { SessionFiles } from './session-files.ts'
import { Sessions } from './sessions.ts'
import { Turns } from './turns.ts'

/** Milliseconds between two looks at idle sessions. */
const LOOK = 10_000

export interface ServerOptions extends Loaded {
  /** The methods that requests may name. */
  registry: Registry
  log: Logger
  /** Bytes that all caches together may hold, working memory included. */
  budget: number
  /** Bytes of session files. */
  disk: number
  /** The folder of session files, which belongs to this server. Default: one for temporary files, removed when the server closes. */
  sessions?: string
  /** Most new tokens of a request. */
  maxTokens: number
  /** Most tokens of a prompt and its answer. Default: as many as the model has positions. */
  maxContext?: number
  apiKey?: string
  /** The folder of the page. */
  page?: string
}

/** A server without a socket. */
export interface OpenServer {
  app: Hono<Env>
  engine: Engine
  /** Takes no more requests, waits `grace` milliseconds for those at work, and writes the sessions to the disk if they have a folder. */
  close(grace: number): Promise<void>
}

/** Finds the sessions that are there, and makes all parts of a server. Throws what the file system throws. */
export async function openServer(options: ServerOptions): Promise<OpenServer> {
  const { name, model, tokenizer, kernels, registry, log } = options
  const folder = options.sessions ?? (await mkdtemp(join(tmpdir(), 'kvfold-sessions-')))
  const budget = new Budget(options.budget, kernels.heap)
  const prefixes = new Prefixes(budget)
  const sessions = new Sessions(budget, new SessionFiles(folder, model, kernels), options.disk, log)
  await sessions.open((policy) => requestPolicy(registry, policy))
  const metrics = createMetrics()
  watchMemory(metrics, { budget, prefixes, sessions })
  const maxContext = Math.min(model.maxPositions, options.maxContext ?? Infinity)
  const shared = { name, model, tokenizer, kernels, registry, turns: new Turns(), budget, prefixes, sessions, metrics, maxContext }
  const engine = new Engine(shared)
  const look = setInterval(() => void sessions.moveIdle(), LOOK).unref()
  return {
    app: createApp({ engine, log, maxTokens: options.maxTokens, apiKey: options.apiKey, page: options.page }),
    engine,
    async close(grace) {
      clearInterval(look)
      await engine.stop(grace)
      await prefixes.close()
      await sessions.close(options.sessions !== undefined)
      if (options.sessions === undefined) await rm(folder, { recursive: true, force: true })
    },
  }
}
