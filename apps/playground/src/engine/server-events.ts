import type { Held } from './engine.ts'
import type { HistoryJson } from '@kvfold/kv-core/history'

/** What a server's stream says: see its README. */
export interface ServerEvent {
  choices: { delta: { content?: string } }[]
  usage?: { prompt_tokens: number; completion_tokens: number; prompt_tokens_details: { cached_tokens: number } }
  kv?: Held & { policy: string; peakBytes: number; fullF32Bytes: number; history?: HistoryJson; pieces?: string[] }
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
