import { fileURLToPath } from 'node:url'
import { createKernels, type Kernels, threadedKernels } from '@kvfold/kernels'
import type { LlamaModel, Tokenizer } from '@kvfold/models'
import { loadModel } from '@kvfold/models/node'
import { modelUrl } from '@kvfold/reference-model'
import { UsageError } from './errors.ts'
import { percent, startTask } from './terminal/task.ts'

export const REFERENCE = 'reference'

/** A model that is ready to run, on the fastest kernels of this machine. */
export interface Loaded {
  name: string
  model: LlamaModel
  tokenizer: Tokenizer
  kernels: Kernels
}

/** Loads `reference`, a folder, a .gguf file or a repository of the Hugging Face hub, and shows how far it is. */
export async function load(name: string, quiet: boolean, threads: number = 1): Promise<Loaded> {
  const task = startTask(`Loading ${name}`, quiet)
  try {
    const kernels = threads > 1 ? await threadedKernels({ threads }) : undefined
    const { model, tokenizer } = await loadModel(name === REFERENCE ? fileURLToPath(modelUrl) : name, {
      kernels,
      onProgress: ({ done, total }) => task.update(percent(done, total)),
    })
    if (!tokenizer) throw new UsageError(`${name} has no tokenizer: give a model that comes with one.`)
    return { name, model, tokenizer, kernels: kernels ?? createKernels() }
  } finally {
    task.stop()
  }
}
