import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Loaded, OpenServer } from '../src/index.ts'
import { asked, chat, document, load, open, registry } from './server.ts'

let loaded: Loaded, server: OpenServer, page: string
beforeAll(async () => {
  loaded = await load()
  page = mkdtempSync(join(tmpdir(), 'kvfold-page-'))
  mkdirSync(join(page, 'assets'))
  writeFileSync(join(page, 'index.html'), '<title>KVFold</title>')
  writeFileSync(join(page, 'assets/main-1a2b3c.js'), 'export {}')
  server = await open(loaded, { page })
})
afterAll(async () => {
  await server.close(0)
  loaded.model.dispose()
  rmSync(page, { recursive: true })
})

const get = async (path: string): Promise<Response> => server.app.request(path)

it('lists the model and the methods', async () => {
  expect(await (await get('/v1/models')).json()).toMatchObject({ object: 'list', data: [{ id: 'reference', object: 'model' }] })
  const methods = (await (await get('/v1/kv/methods')).json()) as { name: string; params: { name: string; default: unknown }[] }[]
  expect(methods.map(({ name }) => name)).toEqual(registry.list().map(({ method }) => method.name))
  expect(methods.find(({ name }) => name === 'kivi')!.params.map(({ name }) => name)).toContain('bits')
})

it('describes itself', async () => {
  const api = (await (await get('/openapi.json')).json()) as {
    openapi: string
    paths: Record<string, Record<string, { responses: object }>>
  }
  expect(api.openapi).toMatch(/^3\.1\./)
  expect(Object.keys(api.paths).sort()).toEqual(
    ['/healthz', '/metrics', '/v1/chat/completions', '/v1/completions', '/v1/kv/methods', '/v1/models'].sort(),
  )
  expect(Object.keys(api.paths['/v1/completions']['post'].responses)).toEqual(expect.arrayContaining(['200', '400', '429', '503']))
  expect(JSON.stringify(api.paths['/v1/chat/completions'])).toContain('kv_policy')
})

it('counts what it does', async () => {
  await chat(server, { messages: asked(document(3)), max_tokens: 5 })
  await chat(server, { messages: asked(document(3)), max_tokens: 5, session: 'one' })
  await chat(server, { messages: 'no' })
  await get('/v1/nothing')
  const metrics = await (await get('/metrics')).text()
  const value = (line: string): number =>
    Number(
      metrics
        .split('\n')
        .find((own) => own.startsWith(`${line} `))
        ?.split(' ')[1],
    )
  expect(value('kvfold_requests_total{route="/v1/chat/completions",status="200"}')).toBe(2)
  expect(value('kvfold_requests_total{route="/v1/chat/completions",status="400"}')).toBe(1)
  expect(value('kvfold_requests_total{route="none",status="404"}')).toBe(1)
  expect(value('kvfold_tokens_total{kind="made"}')).toBe(10)
  expect(value('kvfold_tokens_total{kind="read"}')).toBeGreaterThan(50)
  expect(value('kvfold_tokens_total{kind="reused"}')).toBe(value('kvfold_tokens_total{kind="read"}'))
  expect(value('kvfold_prefix_lookups_total{found="yes"}')).toBe(1)
  expect(value('kvfold_prefix_lookups_total{found="no"}')).toBe(1)
  expect(value('kvfold_ttft_seconds_count')).toBe(2)
  expect(value('kvfold_token_seconds_count')).toBe(8)
  expect(value('kvfold_sessions_in_memory')).toBe(1)
  expect(value('kvfold_sessions_on_disk')).toBe(0)
  expect(value('kvfold_budget_bytes')).toBe(500e6)
  expect(value('kvfold_cache_bytes')).toBeGreaterThan(1e6)
  expect(value('kvfold_reserved_bytes')).toBe(0)
})

it('serves the page, and nothing beside it', async () => {
  const index = await get('/')
  expect(await index.text()).toContain('KVFold')
  expect(index.headers.get('cache-control')).toBe('no-cache')
  expect(index.headers.get('content-security-policy')).toContain("default-src 'self'")
  expect(index.headers.get('x-content-type-options')).toBe('nosniff')
  expect((await get('/assets/main-1a2b3c.js')).headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
  for (const path of ['/../package.json', '/%2e%2e/package.json', '/assets/..%2f..%2fpackage.json', '/assets/missing.js'])
    expect((await get(path)).status).toBe(404)
})

describe('with an API key', () => {
  it('answers only who brings it', async () => {
    const own = await open(loaded, { apiKey: 'secret' })
    const status = async (path: string, authorization?: string): Promise<number> =>
      (await own.app.request(path, { headers: authorization ? { authorization } : {} })).status
    for (const path of ['/v1/models', '/v1/kv/methods', '/metrics', '/v1/nothing']) {
      expect(await status(path)).toBe(401)
      for (const wrong of ['Bearer wrong', 'Bearer secret2', 'Bearer ', 'secret', 'Basic secret'])
        expect(await status(path, wrong)).toBe(401)
    }
    expect(await status('/v1/models', 'Bearer secret')).toBe(200)
    expect(await status('/healthz')).toBe(200)
    await own.close(0)
  })
})

it('says so when it stops', async () => {
  const own = await open(loaded)
  await own.close(0)
  expect((await own.app.request('/healthz')).status).toBe(503)
  const refused = await chat(own, { messages: asked('x') })
  expect(refused).toMatchObject({ status: 503, error: { code: 'stopping' } })
})
