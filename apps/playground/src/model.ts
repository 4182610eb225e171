import { signal } from '@preact/signals'
import type { LoadEvent } from './engine/messages.ts'
import { WorkerEngine, type Backend } from './engine/worker-engine.ts'
import { mode } from './setting.ts'

/** How far a model of this page is. */
export type ModelState = { stage: 'none' } | LoadEvent | { stage: 'ready' } | { stage: 'failed'; why: string }

/** The model in this browser, on one backend. */
class LocalModel {
  readonly state = signal<ModelState>({ stage: 'none' })
  readonly engine: WorkerEngine

  constructor(backend: Backend) {
    this.engine = new WorkerEngine(backend)
  }

  /** Fetches and starts the model, once; again if that failed. */
  async load(): Promise<void> {
    if (this.state.value.stage === 'ready') return
    try {
      await this.engine.load((event) => (this.state.value = event))
      this.state.value = { stage: 'ready' }
    } catch (error) {
      this.state.value = { stage: 'failed', why: (error as Error).message }
      throw error
    }
  }
}

const onWasm = new LocalModel('wasm')
let onWebgpu: LocalModel | undefined

/** The model that answers in this browser; while a server answers, the one that counts tokens. */
export function localModel(): LocalModel {
  return mode.value === 'webgpu' ? (onWebgpu ??= new LocalModel('webgpu')) : onWasm
}
