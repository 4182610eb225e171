import { signal } from '@preact/signals'
import { mode } from './setting.ts'

/** Whether a server can answer: its model, or why not. */
export type ServerState = { there: true; model: string } | { there: false; why: string }

export const serverState = signal<ServerState>({ there: false, why: 'Looking for a server.' })

/** Where a server's interface is, if one served this page. */
export const SERVER = new URL('.', document.baseURI).href

/** Finds out whether a KVFold server served this page. Only what numbers its answers is asked more: others would answer 404. */
export async function findServer(): Promise<void> {
  const none = (why: string): void => {
    serverState.value = { there: false, why }
    if (mode.value === 'server') mode.value = 'browser'
  }
  try {
    const { headers } = await fetch(SERVER, { method: 'HEAD' })
    if (!headers.has('x-request-id')) return none('No KVFold server served this page: `npx kvfold serve` does.')
    const answer = await fetch(`${SERVER}v1/models`)
    if (answer.status === 401) return none('This server wants an API key, and the page has none.')
    const { data } = (await answer.json()) as { data: { id: string }[] }
    serverState.value = { there: true, model: data[0].id }
  } catch {
    none('No server answers.')
  }
}
