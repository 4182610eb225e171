import type { Ask, Engine, EngineEvent, Held, Kept, Side } from './engine.ts'
import { heldOf, serverEvents, type ServerEvent, type ServerKv } from './server-events.ts'

/** Most tokens of an answer. */
const MOST = 64

/** One side of a question at work. */
interface Turn {
  ask: Ask
  text: string
  side: Side
  /** What all of its requests have. */
  common: object
  began: number
  onEvent: (event: EngineEvent) => void
  signal: AbortSignal
}

/** What a server has read of a document. */
interface Read {
  tokens: number
  /** It had read it before. */
  reused: boolean
  held: Held
}

/** A KVFold server. Its answers come one after the other, so that each has the server to itself while it is measured. */
export class ServerEngine implements Engine {
  private readonly base: string

  /** `base`: where `v1` is, with a slash at its end. */
  constructor(base: string) {
    this.base = base
  }

  async ask(ask: Ask, onEvent: (event: EngineEvent) => void, signal: AbortSignal): Promise<void> {
    const { source, policy } = ask
    if (source.kind !== 'text') throw new Error('A server takes no cache file: answer in the browser.')
    for (const side of ['full', 'small'] as const) {
      const isAware = ask.aware && side === 'small'
      // A session is one question's: what the full cache has read is shared by the server itself.
      const session = isAware ? {} : { session: newSession() }
      const common = { kv_policy: side === 'full' ? 'full' : policy, kv_history: side === 'small', ...session }
      const turn: Turn = { ask, text: source.text, side, common, began: performance.now(), onEvent, signal }
      await this.answer(turn, isAware ? undefined : await this.read(turn))
    }
  }

  /** The session's first turn: a document, and nothing to answer. */
  private async read({ text, side, common, began, onEvent, signal }: Turn): Promise<Read> {
    const response = await this.post({ ...common, messages: [{ role: 'system', content: text }], max_tokens: 0 }, signal)
    const { usage, kv } = (await response.json()) as ServerEvent
    const held = heldOf(kv!)
    onEvent({ type: 'reading', side, done: 1, total: 1, at: performance.now() - began, held })
    return { tokens: usage!.prompt_tokens, reused: usage!.prompt_tokens_details.cached_tokens > 0, held }
  }

  /** The question; with the document, where the policy sees both. */
  private async answer({ ask, text, side, common, began, onEvent, signal }: Turn, read: Read | undefined): Promise<void> {
    const asked = { role: 'user', content: ask.question }
    const messages = read ? [asked] : [{ role: 'system', content: text }, asked]
    const stream = await this.post({ ...common, messages, stream: true, max_tokens: MOST }, signal)
    const times: number[] = []
    for await (const { choices, kv, usage } of serverEvents(stream)) {
      const content = choices[0].delta?.content
      if (content) {
        const at = performance.now() - began
        const held = kv ? heldOf(kv) : read!.held
        onEvent({ type: 'token', side, text: content, at, ms: at - (times.at(-1) ?? 0), held })
        times.push(at)
      }
      if (!usage || !kv) continue
      const { policy, bytes, peakBytes, fullF32Bytes, rows } = kv
      const [first = 0, ...others] = times
      const stats = {
        policy,
        promptTokens: usage.prompt_tokens,
        newTokens: usage.completion_tokens,
        readMs: first,
        reused: read?.reused ?? false,
        msPerToken: others.length > 0 ? (others.at(-1)! - first) / others.length : 0,
        bytes,
        peakBytes,
        fullF32Bytes,
        rows,
        notices: [],
      }
      onEvent({ type: 'done', side, stats, kept: keptOf(kv, text, read) })
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
    const { error } = (await response.json().catch(() => ({}))) as Partial<ServerEvent>
    throw new Error(error?.message ?? `The server answered ${response.status}.`)
  }
}

function keptOf({ history, pieces }: ServerKv, text: string, read: Read | undefined): Kept | undefined {
  if (!history || !pieces) return undefined
  return { history, pieces, documentTokens: read?.tokens ?? documentTokens(pieces, text) }
}

/** How many of a prompt's tokens are the document, after the first one that every prompt has. */
function documentTokens(pieces: readonly string[], text: string): number {
  let length = 0
  const last = pieces.findIndex((piece, i) => i > 0 && (length += piece.length) >= text.length)
  return last < 0 ? pieces.length : last + 1
}

function newSession(): string {
  const random = crypto.getRandomValues(new Uint32Array(4))
  return `page-${Array.from(random, (part) => part.toString(36)).join('-')}`
}
