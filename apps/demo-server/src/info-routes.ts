import { describeMethod } from '@kvfold/kv-core'
import { Hono } from 'hono'
import { describeRoute, resolver } from 'hono-openapi'
import type { z } from 'zod'
import type { Engine } from './engine.ts'
import type { Env } from './env.ts'
import { health, methodList, modelList } from './schemas.ts'

/** What the server says about itself. */
export function infoRoutes(engine: Engine): Hono<Env> {
  const { name, registry, metrics } = engine.shared
  const created = Math.floor(Date.now() / 1000)
  const methods = registry.list().map(describeMethod)
  const describe = (summary: string, schema: z.ZodType): ReturnType<typeof describeRoute> =>
    describeRoute({ summary, responses: { 200: { description: summary, content: { 'application/json': { schema: resolver(schema) } } } } })
  return new Hono<Env>()
    .get('/v1/models', describe('The model', modelList), (c) =>
      c.json({ object: 'list', data: [{ id: name, object: 'model', created, owned_by: 'kvfold' }] }),
    )
    .get('/v1/kv/methods', describe('The methods that policies are made of', methodList), (c) => c.json(methods))
    .get('/healthz', describe('Whether the server takes requests', health), (c) =>
      c.json({ status: engine.stopping ? 'stopping' : 'ok', running: engine.running }, engine.stopping ? 503 : 200),
    )
    .get('/metrics', describeRoute({ summary: 'Numbers for Prometheus', responses: { 200: { description: 'Text' } } }), async (c) =>
      c.body(await metrics.registry.metrics(), 200, { 'content-type': metrics.registry.contentType }),
    )
}
