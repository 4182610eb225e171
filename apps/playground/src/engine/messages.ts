import type { Ask, EngineEvent, OpenedFile } from './engine.ts'

/** What the worker can be asked for, and what it answers. */
export interface Calls {
  load: { given: Record<string, never>; result: void; event: LoadEvent }
  count: { given: { text: string }; result: number; event: never }
  ask: { given: { ask: Ask }; result: void; event: EngineEvent }
  save: { given: { ask: Ask; coded: boolean }; result: Uint8Array<ArrayBuffer>; event: EngineEvent }
  open: { given: { file: File }; result: OpenedFile; event: never }
}

/** How far the model is: bytes that came, then parts that are in memory. */
export interface LoadEvent {
  stage: 'fetch' | 'start'
  done: number
  total: number
}

export type CallName = keyof Calls

/** To the worker. */
export type Request =
  | { id: number; abort: true }
  | { [Name in CallName]: { id: number; call: Name; given: Calls[Name]['given'] } }[CallName]

/** From the worker. */
export type Reply =
  | { id: number; event: unknown }
  | { id: number; result: unknown }
  /** A sentence. */
  | { id: number; error: string }
