import { signal } from '@preact/signals'
import type { LoadEvent } from './engine/messages.ts'
import { WorkerEngine } from './engine/worker-engine.ts'

/** How far the model of this page is. */
export type ModelState = { stage: 'none' } | LoadEvent | { stage: 'ready' } | { stage: 'failed'; why: string }

export const modelState = signal<ModelState>({ stage: 'none' })
export const worker = new WorkerEngine()

/** Fetches and starts the model, once; again if that failed. */
export async function loadModel(): Promise<void> {
  if (modelState.value.stage === 'ready') return
  try {
    await worker.load((event) => (modelState.value = event))
    modelState.value = { stage: 'ready' }
  } catch (error) {
    modelState.value = { stage: 'failed', why: (error as Error).message }
    throw error
  }
}
