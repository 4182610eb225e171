import type { Ask, Side } from './engine/engine.ts'
import { ServerEngine } from './engine/server-engine.ts'
import { localModel } from './model.ts'
import { text as policy } from './policy/state.ts'
import { activity, begin, failure, sides, status, take } from './run.ts'
import { SERVER } from './server.ts'
import { aware, mode, openedFile, question, source } from './setting.ts'

const server = new ServerEngine(SERVER)
let abortion = new AbortController()

function current(): Ask {
  return { source: source(), question: question.value, policy: policy.value, aware: aware.value && !openedFile.value }
}

/** Asks the question, and shows the answers as they come. */
export async function ask(): Promise<void> {
  const asked = current()
  const shown: Side[] = asked.source.kind === 'file' ? ['small'] : ['full', 'small']
  await work('Answering', async (signal) => {
    begin(shown)
    if (mode.value === 'server') return server.ask(asked, take, signal)
    const model = localModel()
    await model.load()
    return model.engine.ask(asked, take, signal)
  })
}

/** Makes a file of the compressed cache, after it has read the document, and lets the browser save it. */
export async function save(coded: boolean): Promise<void> {
  const asked = current()
  await work('Saving the cache', async (signal) => {
    const model = localModel()
    await model.load()
    const bytes = await model.engine.save(asked, coded, () => {}, signal)
    download(new Blob([bytes]), 'document.kv')
  })
}

/** Opens a cache file: questions are about its document from now on. */
export async function open(file: File): Promise<void> {
  await work('Opening the cache', async () => {
    if (mode.value === 'server') mode.value = 'browser'
    const model = localModel()
    await model.load()
    openedFile.value = await model.engine.open(file)
    begin(['small'])
  })
}

/** Goes back from a file to the document that was chosen before. */
export function closeFile(): void {
  openedFile.value = undefined
  sides.value = ['full', 'small']
}

/** Stops what is going on. */
export function stop(): void {
  abortion.abort()
}

async function work(what: string, action: (signal: AbortSignal) => Promise<void>): Promise<void> {
  abortion = new AbortController()
  const { signal } = abortion
  status.value = 'working'
  activity.value = what
  failure.value = ''
  try {
    await action(signal)
    status.value = 'idle'
  } catch (error) {
    status.value = 'idle'
    failure.value = signal.aborted ? 'Stopped.' : (error as Error).message
  }
}

function download(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  URL.revokeObjectURL(link.href)
}
