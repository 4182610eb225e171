import type { Ask, Engine, EngineEvent, Side } from './engine.ts'
import { serverEvents, type ServerEvent } from './server-events.ts'

type OnEvent = (event: EngineEvent) => void

/** A KVFold server. Its answers come one after the other, so that each has the server to itself while it is measured. */
export class ServerEngine implements Engine {
  private readonly base: string

  /** `base`: where `v1` is, with a slash at its end. */
  constructor(base: string) {
    this.base = base
  }

  async ask(ask: Ask, onEvent: OnEvent, signal: AbortSignal): Promise<void> {
    if (ask.source.kind !== 'text') throw new Error('A server takes no cache file: answer in the browser.')
    for (const side of ['full', 'small'] as const) await this.answer(ask, ask.source.text, side, onEvent, signal)
  }

  private async answer(ask: Ask, text: string, side: Side, onEvent: OnEvent, signal: AbortSignal): Promise<void> {
    const began = performance.now()
    const at = (): number => performance.now() - began
    const isAware = ask.aware && side === 'small'
    const document = { role: 'system', content: text }
    const asked = { role: 'user', content: ask.question }
    // A session is one question's: the server forks what it has read of the document anyway.
    const session = isAware ? undefined : newSession()
    const common = { kv_policy: side === 'full' ? 'full' : ask.policy, kv_history: side === 'small', ...(session && { session }) }
    let documentTokens: number | undefined
    let reused = false
    if (!isAware) {
      const { usage, kv } = (await (await this.post({ ...common, messages: [document], max_tokens: 0 }, signal)).json()) as ServerEvent
      documentTokens = usage!.prompt_tokens
      reused = usage!.prompt_tokens_details.cached_tokens > 0
      onEvent({ type: 'reading', side, done: 1, total: 1, at: at(), held: kv! })
    }
    const stream = await this.post({ ...common, messages: isAware ? [document, asked] : [asked], stream: true, max_tokens: 64 }, signal)
    let last = at(),
      firstAt = 0,
      tokens = 0
    for await (const { choices, kv, usage } of serverEvents(stream)) {
      const content = choices[0].delta.content
      const now = at()
      if (content && kv) {
        firstAt ||= now
        tokens++
        onEvent({ type: 'token', side, text: content, ms: now - last, at: now, held: kv })
        last = now
      }
      if (!usage || !kv) continue
      const { policy, bytes, peakBytes, fullF32Bytes, rows, history, pieces } = kv
      onEvent({
        type: 'done',
        side,
        stats: {
          policy,
          promptTokens: usage.prompt_tokens,
          newTokens: usage.completion_tokens,
          readMs: firstAt,
          reused,
          msPerToken: tokens > 1 ? (last - firstAt) / (tokens - 1) : 0,
          bytes,
          peakBytes,
          fullF32Bytes,
          rows,
          notices: [],
        },
        ...(history && pieces && { kept: { history, pieces, documentTokens: documentTokens ?? tokensOf(pieces, text) } }),
      })
    }
  }

  private async post(body: object, signal: AbortSignal): Promise<Response> {
    const response = await fetch(`${this.base}v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal,
    }).catch((error: unknown) => {
      signal.throwIfAborted()
      throw new Error('The server does not answer: is it running still?', { cause: error })
    })
    if (response.ok) return response
    const { error } = (await response.json()) as ServerEvent
    throw new Error(error?.message ?? `The server answered ${response.status}.`)
  }
}

function newSession(): string {
  const random = crypto.getRandomValues(new Uint32Array(4))
  return `page-${Array.from(random, (part) => part.toString(36)).join('-')}`
}

/** How many of a prompt's tokens are the document: what comes before is one token, what comes after is the question. */
function tokensOf(pieces: readonly string[], text: string): number {
  let length = 0
  for (let i = 1; i < pieces.length; i++) {
    length += pieces[i].length
    if (length >= text.length) return i + 1
  }
  return pieces.length
}
