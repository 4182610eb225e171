import { basename, dirname, join } from 'node:path'
import { CALIBRATION_FILE } from '../calibration.ts'
import { DownloadError } from '../errors.ts'
import { calibrate, loadGguf, loadModelFiles, type LoadedModel, type LoadOptions } from '../load.ts'
import { startBackend } from './backend.ts'
import { directoryFiles, fileSource, kindOf } from './files.ts'
import { downloadFile, downloadModel, type HubOptions } from './hub.ts'

export type LoadModelOptions = LoadOptions & HubOptions

/**
 * Loads a model from a folder in Hugging Face layout, a `.gguf` file, a repository name on the Hugging Face hub (`owner/name`), or a GGUF file
 * there (`owner/name/file.gguf`); with what `kvfold calibrate` wrote beside it. Starts tfjs's wasm backend if none is set up.
 * Throws ModelFormatError, UnsupportedModelError, DownloadError.
 */
export async function loadModel(source: string, options: LoadModelOptions = {}): Promise<LoadedModel> {
  const path = await locate(source, options)
  await startBackend()
  if ((await kindOf(path)) === 'directory') return loadModelFiles(directoryFiles(path), options)
  const loaded = await loadGguf(await fileSource(path), options)
  const file = await calibrationPath(path)
  await calibrate(loaded, directoryFiles(dirname(file)), basename(file))
  return loaded
}

/** Where a model's calibration lies: in its folder, or beside its file. */
export async function calibrationPath(model: string): Promise<string> {
  if ((await kindOf(model)) === 'directory') return join(model, CALIBRATION_FILE)
  return join(dirname(model), `${basename(model, '.gguf')}.${CALIBRATION_FILE}`)
}

/** The folder or file of a source, downloaded if need be. */
async function locate(source: string, options: HubOptions): Promise<string> {
  if (await kindOf(source)) return source
  const parts = source.split('/')
  const remote = !/^[./~]|^[A-Za-z]:|\\/.test(source)
  if (remote && source.endsWith('.gguf') && parts.length > 2)
    return downloadFile(parts.slice(0, 2).join('/'), parts.slice(2).join('/'), options)
  if (remote && parts.length === 2 && !source.endsWith('.gguf')) return downloadModel(source, options)
  throw new DownloadError(`There is no '${source}': give a folder, a .gguf file, or a repository name (owner/name).`)
}
