import { KernelUnavailableError } from '../errors.ts'
import { workerSource, type WorkerStart } from './worker-source.ts'

/** A worker that takes tasks until it is told to stop. */
export interface RunningWorker {
  /** Waits for that. */
  ended(): Promise<unknown>
}

/** What we use of Node's workers. */
interface NodeWorker {
  terminate(): Promise<unknown>
  once(event: string, listener: (value: unknown) => void): void
  postMessage(message: unknown, transfer: []): void
  unref(): void
}

/** What we use of a page's. */
interface PageWorker {
  addEventListener(event: string, listener: (event: { message?: string }) => void, options: { once: true }): void
  postMessage(message: unknown, transfer: []): void
}

type NodeThreads = { Worker: new (source: string, options: { eval: true }) => NodeWorker }

/** Resolves when the worker looks for tasks. Throws KernelUnavailableError. */
export async function startWorker(start: WorkerStart): Promise<RunningWorker> {
  try {
    const threads = nodeThreads()
    return threads ? await inNode(threads, start) : await inPage(start)
  } catch (error) {
    throw new KernelUnavailableError(`A thread did not start (${(error as Error).message}). Use wasmKernels(), which need only one.`)
  }
}

/** Node's module, without an import that a bundler for pages would follow. */
function nodeThreads(): NodeThreads | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): unknown } }
  return process?.getBuiltinModule?.('node:worker_threads') as NodeThreads | undefined
}

async function inNode({ Worker }: NodeThreads, start: WorkerStart): Promise<RunningWorker> {
  const worker = new Worker(workerSource, { eval: true })
  await new Promise<unknown>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.postMessage(start, [])
  })
  // A program ends without having to end its workers.
  worker.unref()
  return { ended: () => worker.terminate() }
}

async function inPage(start: WorkerStart): Promise<RunningWorker> {
  const url = URL.createObjectURL(new Blob([workerSource], { type: 'text/javascript' }))
  const { Worker } = globalThis as unknown as { Worker: new (url: string) => PageWorker }
  const worker = new Worker(url)
  worker.postMessage(start, [])
  await new Promise<unknown>((resolve, reject) => {
    worker.addEventListener('message', resolve, { once: true })
    worker.addEventListener('error', ({ message = 'no reason given' }) => reject(new Error(message)), { once: true })
  }).finally(() => URL.revokeObjectURL(url))
  const ended = new Promise<unknown>((resolve) => worker.addEventListener('message', resolve, { once: true }))
  return { ended: () => ended }
}
