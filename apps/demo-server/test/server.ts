import { fileURLToPath } from 'node:url'
import * as eviction from '@kvfold/eviction'
import { createKernels, type Kernels } from '@kvfold/kernels'
import { Registry } from '@kvfold/kv-core'
import * as merge from '@kvfold/merge'
import { loadModel } from '@kvfold/models/node'
import * as offload from '@kvfold/offload'
import * as quant from '@kvfold/quant'
import { modelUrl } from '@kvfold/reference-model'
import * as sparsePrefill from '@kvfold/sparse-prefill'
import { memory } from '@tensorflow/tfjs-core'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { KvReport } from '../src/job.ts'
import { openServer, type Loaded, type OpenServer, type ServerOptions } from '../src/index.ts'

export const registry = new Registry({
  '@kvfold/eviction': eviction,
  '@kvfold/merge': merge,
  '@kvfold/offload': offload,
  '@kvfold/quant': quant,
  '@kvfold/sparse-prefill': sparsePrefill,
})

export const log = pino({ level: 'silent' })

/** The reference model. */
export async function load(): Promise<Loaded> {
  const { model, tokenizer } = await loadModel(fileURLToPath(modelUrl))
  return { name: 'reference', model, tokenizer: tokenizer!, kernels: createKernels() }
}

export const MB = 1e6

/** A server without a socket, with room for everything unless said otherwise. */
export async function open(loaded: Loaded, more: Partial<ServerOptions> = {}): Promise<OpenServer> {
  return openServer({ ...loaded, registry, log, budget: 500 * MB, disk: 500 * MB, maxTokens: 256, ...more })
}

/** A model for the tests around it, and a server for each, which leaves nothing behind; a test may put another in its place. */
export function withServer(): { loaded: Loaded; server: OpenServer } {
  const at = {} as { loaded: Loaded; server: OpenServer }
  let before: ReturnType<typeof held>
  beforeAll(async () => {
    at.loaded = await load()
  })
  afterAll(() => at.loaded.model.dispose())
  beforeEach(async () => {
    before = held(at.loaded)
    at.server = await open(at.loaded)
  })
  afterEach(async () => {
    await at.server.close(0)
    expect(held(at.loaded)).toEqual(before)
  })
  return at
}

/** What caches and their work hold: bytes of the heap, and tensors. */
export function held({ kernels }: { kernels: Kernels }): { bytes: number; tensors: number } {
  return { bytes: kernels.heap.live, tensors: memory().numTensors }
}

/** A document with a fact in it. */
export function document(paragraphs: number, key: string = 'quiet harbor', value: string = '4821375'): string {
  return Array.from(
    { length: paragraphs },
    (_, i) =>
      `The ship went on for day ${i + 1} without a sight of land, and the men were tired of it.${i === 1 ? ` The magic number of ${key} is #${value}.` : ''}`,
  ).join('\n\n')
}

export const QUESTION = 'What is the magic number of quiet harbor?'

export interface Answer {
  choices: { message: { content: string }; text: string; finish_reason: string }[]
  usage: { prompt_tokens: number; completion_tokens: number; prompt_tokens_details: { cached_tokens: number } }
  kv: KvReport
  error: { message: string; type: string; param: string | null; code: string }
}

/** The events of a stream. */
export async function events(response: Response): Promise<Event[]> {
  const text = await response.text()
  const lines = text.split('\n\n').filter(Boolean)
  if (lines.at(-1) !== 'data: [DONE]') throw new Error(`The stream ends with ${lines.at(-1)}`)
  return lines.slice(0, -1).map((line) => JSON.parse(line.replace(/^data: /, '')) as Event)
}

export interface Event extends Omit<Answer, 'choices'> {
  id: string
  object: string
  choices: { delta: { role?: string; content?: string }; text: string; finish_reason: string | null }[]
}

export async function post(server: OpenServer, path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return server.app.request(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}

/** A chat's answer. */
export async function chat(server: OpenServer, body: object): Promise<Answer & { status: number }> {
  const response = await post(server, '/v1/chat/completions', body)
  return { status: response.status, ...((await response.json()) as Answer) }
}

export function asked(content: string, question: string = QUESTION): object[] {
  return [
    { role: 'system', content },
    { role: 'user', content: question },
  ]
}
