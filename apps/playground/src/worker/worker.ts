import '../without-eval.ts'
import type { CallName, Calls, Reply, Request } from '../engine/messages.ts'
import { answerBoth, type Desk } from './ask.ts'
import { KeptCaches } from './kept-caches.ts'
import { openModel, openTokenizer } from './loaded.ts'
import { saveCache } from './save.ts'

type Handlers = {
  [Name in CallName]: (
    given: Calls[Name]['given'],
    onEvent: (event: Calls[Name]['event']) => void,
    signal: AbortSignal,
  ) => Promise<Calls[Name]['result']>
}

let tokenizer: ReturnType<typeof openTokenizer> | undefined
let desk: Promise<Desk> | undefined
/** One after the other: caches and their memory are shared. */
let turn: Promise<unknown> = Promise.resolve()
const running = new Map<number, AbortController>()

const handlers: Handlers = {
  async load(_, onEvent) {
    desk ??= openModel(onEvent).then((loaded) => ({ loaded, kept: new KeptCaches(loaded) }))
    await desk.catch((error: unknown) => {
      desk = undefined
      throw error
    })
  },
  async count({ text }) {
    tokenizer ??= openTokenizer()
    return (await tokenizer).encode(text, { special: false }).length
  },
  ask: async ({ ask }, onEvent, signal) => inTurn((at) => answerBoth(at, ask, onEvent, signal)),
  save: async ({ ask, coded }, onEvent, signal) => inTurn((at) => saveCache(at, ask, coded, onEvent, signal)),
  open: async ({ file }) => inTurn(({ kept }) => kept.open(file)),
}

async function inTurn<T>(work: (desk: Desk) => Promise<T>): Promise<T> {
  const result = turn.then(async () => {
    await handlers.load({}, () => {}, new AbortController().signal)
    return work(await desk!)
  })
  turn = result.catch(() => {})
  return result
}

self.addEventListener('message', ({ data }: MessageEvent<Request>) => {
  if ('abort' in data) running.get(data.id)?.abort()
  else void answer(data)
})

async function answer({ id, call, given }: Exclude<Request, { abort: true }>): Promise<void> {
  const abortion = new AbortController()
  running.set(id, abortion)
  const post = (reply: Reply): void => self.postMessage(reply, { transfer: [] })
  try {
    const handle = handlers[call] as Handlers[CallName] as (
      given: unknown,
      onEvent: (event: unknown) => void,
      signal: AbortSignal,
    ) => Promise<unknown>
    post({ id, result: await handle(given, (event) => post({ id, event }), abortion.signal) })
  } catch (error) {
    post({ id, error: (error as Error).message })
  } finally {
    running.delete(id)
  }
}
