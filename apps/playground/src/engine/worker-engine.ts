import type { Ask, Engine, EngineEvent, OpenedFile } from './engine.ts'
import type { CallName, Calls, LoadEvent, Reply, Request } from './messages.ts'

interface Waiting {
  onEvent: (event: never) => void
  resolve: (result: never) => void
  reject: (error: Error) => void
}

/** What computes the model's products. The cache's kernels are WebAssembly under both. */
export type Backend = 'wasm' | 'webgpu'

/** The model in a worker of this page. */
export class WorkerEngine implements Engine {
  private readonly worker: Worker
  private readonly waiting = new Map<number, Waiting>()
  private calls = 0

  constructor(backend: Backend) {
    // The worker reads its backend from its name.
    this.worker = new Worker(document.documentElement.dataset['worker']!, { type: 'module', name: backend })
    this.worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => this.take(data))
    this.worker.addEventListener('error', ({ message }) => this.fail(message))
  }

  /** Fetches the model and starts it, if that was not done. */
  async load(onEvent: (event: LoadEvent) => void): Promise<void> {
    return this.call('load', {}, onEvent)
  }

  /** Tokens of a text. */
  async count(text: string): Promise<number> {
    return this.call('count', { text })
  }

  async ask(ask: Ask, onEvent: (event: EngineEvent) => void, signal: AbortSignal): Promise<void> {
    return this.call('ask', { ask }, onEvent, signal)
  }

  /** The compressed cache of a document as the bytes of a file; `coded`: smaller, without loss. */
  async save(ask: Ask, coded: boolean, onEvent: (event: EngineEvent) => void, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    return this.call('save', { ask, coded }, onEvent, signal)
  }

  /** Opens a cache file, to ask about its document. */
  async open(file: File): Promise<OpenedFile> {
    return this.call('open', { file })
  }

  private async call<Name extends CallName>(
    call: Name,
    given: Calls[Name]['given'],
    onEvent: (event: Calls[Name]['event']) => void = () => {},
    signal?: AbortSignal,
  ): Promise<Calls[Name]['result']> {
    const id = ++this.calls
    const post = (request: Request): void => this.worker.postMessage(request, [])
    const abort = (): void => post({ id, abort: true })
    signal?.addEventListener('abort', abort)
    try {
      return await new Promise<Calls[Name]['result']>((resolve, reject) => {
        this.waiting.set(id, { onEvent, resolve, reject })
        post({ id, call, given } as Request)
      })
    } finally {
      signal?.removeEventListener('abort', abort)
      this.waiting.delete(id)
    }
  }

  private take(reply: Reply): void {
    const waiting = this.waiting.get(reply.id)
    if (!waiting) return
    if ('event' in reply) waiting.onEvent(reply.event as never)
    else if ('error' in reply) waiting.reject(new Error(reply.error))
    else waiting.resolve(reply.result as never)
  }

  private fail(message: string): void {
    for (const { reject } of this.waiting.values()) reject(new Error(`The model's worker stopped (${message}): load the page again.`))
  }
}
