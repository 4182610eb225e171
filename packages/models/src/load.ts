import { CALIBRATION_FILE, parseCalibration } from './calibration.ts'
import { configFromHuggingFace } from './config/hugging-face.ts'
import type { ModelConfig } from './config/model-config.ts'
import { LlamaModel } from './decoder/model.ts'
import { repeatRequest } from './decoder/repeat.ts'
import { openRetainingHeads } from './decoder/retaining-heads.ts'
import type { LoadProgress } from './decoder/load-progress.ts'
import { ModelFormatError, ModelInputError } from './errors.ts'
import { readJson, readText, type FileSet, type FileSource } from './files/file-source.ts'
import { tokenizerFromGguf } from './tokenizer/gguf-tokenizer.ts'
import { Tokenizer } from './tokenizer/tokenizer.ts'
import { openGguf } from './weights/gguf.ts'
import { openSafetensors } from './weights/safetensors.ts'
import type { Weights } from './weights/weights.ts'

export interface LoadOptions extends LoadProgress {
  /** Another limit on a sequence's length than the file's. */
  maxPositions?: number
}

export interface LoadedModel {
  model: LlamaModel
  /** Undefined if the files have none. */
  tokenizer: Tokenizer | undefined
}

/**
 * Loads a model in Hugging Face layout: config.json, model.safetensors (or shards and their index), tokenizer.json and, if there
 * are any, tokenizer_config.json, generation_config.json, chat_template.jinja, retaining-heads.safetensors, kv-calibration.json. A tfjs backend must have been set up.
 * Throws ModelFormatError, UnsupportedModelError.
 */
export async function loadModelFiles(files: FileSet, options: LoadOptions = {}): Promise<LoadedModel> {
  const json = await readJson(files, 'config.json')
  if (json === undefined) throw new ModelFormatError(`${files.name} has no config.json: give a folder that holds a model.`)
  const config = configFromHuggingFace(json)
  // Chat models stop at more tokens than the base model's own.
  const generation = (await readJson(files, 'generation_config.json')) as { eos_token_id?: number | number[] } | undefined
  const eos = [...new Set([...config.eos, ...[generation?.eos_token_id ?? []].flat()])]
  const tokenizer = await loadTokenizer(files)
  const weights = await openSafetensors(files)
  const retaining = await openRetainingHeads(files)
  try {
    const loaded = await ready({ ...config, eos }, weights, options, tokenizer, retaining)
    await calibrate(loaded, files, CALIBRATION_FILE)
    return loaded
  } finally {
    await weights.close()
    await retaining?.close()
  }
}

/** Gives a model its calibration, if there is that file. Throws ModelFormatError, and frees the model then. */
export async function calibrate({ model }: LoadedModel, files: FileSet, name: string): Promise<void> {
  try {
    const json = await readJson(files, name)
    const { layers, kvHeads, headDim } = model.shape
    if (json !== undefined) model.calibrations = parseCalibration(json, layers, kvHeads * headDim, `${files.name}/${name}`)
  } catch (error) {
    model.dispose()
    throw error
  }
}

/** The tokenizer of a model in Hugging Face layout; undefined if there is no tokenizer.json. Throws ModelFormatError. */
export async function loadTokenizer(files: FileSet): Promise<Tokenizer | undefined> {
  const json = await readJson(files, 'tokenizer.json')
  if (json === undefined) return undefined
  const config = (await readJson(files, 'tokenizer_config.json')) as Record<string, unknown> | undefined
  const chatTemplate = await readText(files, 'chat_template.jinja')
  return new Tokenizer(json as object, { ...(config && { config }), ...(chatTemplate && { chatTemplate }) })
}

/** Loads a GGUF file and closes it. A tfjs backend must have been set up. Throws ModelFormatError, UnsupportedModelError. */
export async function loadGguf(file: FileSource, options: LoadOptions = {}): Promise<LoadedModel> {
  try {
    const { config, weights, metadata } = await openGguf(file)
    const tokenizer = tokenizerFromGguf(metadata)
    return await ready(config, weights, options, tokenizer)
  } finally {
    await file.close?.()
  }
}

async function ready(
  config: ModelConfig,
  weights: Weights,
  options: LoadOptions,
  tokenizer: Tokenizer | undefined,
  retaining?: Weights,
): Promise<LoadedModel> {
  const maxPositions = options.maxPositions ?? config.maxPositions
  if (!Number.isInteger(maxPositions) || maxPositions < 1)
    throw new ModelInputError(`maxPositions is ${maxPositions}: give a whole number of at least 1.`)
  const model = await LlamaModel.load({ ...config, maxPositions }, weights, options, retaining)
  if (tokenizer) model.repeat = repeatRequest(tokenizer)
  return { model, tokenizer }
}
