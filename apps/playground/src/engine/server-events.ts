import type { HistoryJson } from '@kvfold/kv-core/history'
import type { Held } from './engine.ts'

/** What a server says about a cache: of one whose history is wanted its parts too, at each token. */
export interface ServerKv extends Partial<Held> {
  bytes: number
  rows: number
  history?: HistoryJson | null
  pieces?: string[] | null
}

/** What a server's answers and the events of its streams hold: see its README. */
export interface ServerEvent {
  choices: { delta?: { content?: string } }[]
  usage?: { prompt_tokens: number; completion_tokens: number; prompt_tokens_details: { cached_tokens: number } }
  kv?: ServerKv & { policy: string; peakBytes: number; fullF32Bytes: number }
  error?: { message: string }
}

/** The server-sent events of an answer, until its last one. Throws an Error with the server's own sentence. */
export async function* serverEvents(response: Response): AsyncGenerator<ServerEvent, void, undefined> {
  let rest = ''
  for await (const text of textOf(response)) {
    const messages = (rest + text).split('\n\n')
    rest = messages.pop()!
    for (const message of messages) {
      const data = message.replace(/^data: /, '')
      if (data === '[DONE]') return
      const event = JSON.parse(data) as ServerEvent
      if (event.error) throw new Error(event.error.message)
      yield event
    }
  }
  throw new Error('The server ended its answer early: ask again.')
}

/** What a cache holds, as far as the server says; of a recorded one the last look knows all. */
export function heldOf(kv: ServerKv): Held {
  const { bytes, rows, payload = 0, scales = 0, columns = 0, indices = 0 } = kv.history?.frames.at(-1)?.ledger ?? kv
  return { bytes, payload, scales, columns, indices, rows }
}

async function* textOf(response: Response): AsyncGenerator<string, void, undefined> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    await reader.cancel()
  }
}
