import { createKernels, type Kernels, KernelUnavailableError, type ThreadedKernels, threadedKernels } from '@kvfold/kernels'
import { bytesFiles, loadModelFiles, loadTokenizer, UnsupportedModelError, type LlamaModel, type Tokenizer } from '@kvfold/models'
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm'
import plain from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url'
import simd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url'
import threaded from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm?url'
import { enableProdMode, env, setBackend } from '@tensorflow/tfjs-core'
import type { LoadEvent } from '../engine/messages.ts'
import { fetchModel, fetchModelFile } from './fetch-model.ts'

/** A model that is ready to run. */
export interface Loaded {
  model: LlamaModel
  tokenizer: Tokenizer
  kernels: Kernels
}

/** The tokenizer alone, which comes long before the weights. Throws DownloadError, ModelFormatError. */
export async function openTokenizer(): Promise<Tokenizer> {
  const names = ['tokenizer.json', 'tokenizer_config.json']
  const files = await Promise.all(names.map(async (name) => [name, await fetchModelFile(name)] as const))
  return (await loadTokenizer(bytesFiles('model', Object.fromEntries(files))))!
}

/** The reference model on the backend that the worker is named after. Throws DownloadError, ModelFormatError, UnsupportedModelError. */
export async function openModel(onProgress: (event: LoadEvent) => void): Promise<Loaded> {
  const [files] = await Promise.all([fetchModel((done, total) => onProgress({ stage: 'fetch', done, total })), startBackend()])
  const threads = await openThreads()
  const loading = loadModelFiles(bytesFiles('model', files), {
    kernels: threads,
    onProgress: ({ done, total }) => onProgress({ stage: 'start', done, total }),
  })
  const { model, tokenizer } = await loading.catch(async (error: unknown) => {
    await threads?.dispose()
    throw error
  })
  return { model, tokenizer: tokenizer!, kernels: threads ?? createKernels() }
}

/** Where a browser lets threads share memory. On a GPU, they would have little to do. */
async function openThreads(): Promise<ThreadedKernels | undefined> {
  if (!self.crossOriginIsolated || self.name === 'webgpu') return undefined
  try {
    return await threadedKernels()
  } catch (error) {
    if (error instanceof KernelUnavailableError) return undefined
    throw error
  }
}

async function startBackend(): Promise<void> {
  enableProdMode()
  if (self.name === 'webgpu') return startWebgpu()
  // The threaded variant starts workers from the text of functions, which a minified script does not survive.
  env().set('WASM_HAS_MULTITHREAD_SUPPORT', false)
  setWasmPaths({
    'tfjs-backend-wasm.wasm': plain,
    'tfjs-backend-wasm-simd.wasm': simd,
    'tfjs-backend-wasm-threaded-simd.wasm': threaded,
  })
  if (!(await setBackend('wasm')))
    throw new UnsupportedModelError('WebAssembly does not start in this browser: try a newer one, or ask a server.')
}

/** The cache's kernels then work in a memory of their own, and what the model gives them is copied. */
async function startWebgpu(): Promise<void> {
  await import('@tensorflow/tfjs-backend-webgpu')
  if (!(await setBackend('webgpu'))) throw new UnsupportedModelError('WebGPU does not start in this browser: run in it without.')
}
