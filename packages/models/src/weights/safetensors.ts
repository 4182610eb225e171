import { ModelFormatError } from '../errors.ts'
import { readJson, type FileSet, type FileSource } from '../files/file-source.ts'
import { readSafetensorsHeader, safetensorsDecoder, type SafetensorsEntry } from './safetensors-header.ts'
import { stored } from './stored.ts'
import type { StoredTensor, Weights } from './weights.ts'

const SINGLE = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'

/**
 * Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names. Headers are read and checked now,
 * weights when they are asked for. Throws ModelFormatError.
 */
export async function openSafetensors(files: FileSet): Promise<Weights> {
  return openSafetensorsFiles(files, await fileNames(files))
}

/** Opens the safetensors files of these names. Throws ModelFormatError. */
export async function openSafetensorsFiles(files: FileSet, names: readonly string[]): Promise<Weights> {
  const places = new Map<string, { file: FileSource; entry: SafetensorsEntry }>()
  const opened: FileSource[] = []
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((file) => file.close?.()))
  }
  try {
    for (const name of names) {
      const file = await files.open(name)
      if (!file) throw new ModelFormatError(`${files.name} has no ${name}: fetch the missing file.`)
      opened.push(file)
      for (const [tensor, entry] of await readSafetensorsHeader(file)) places.set(tensor, { file, entry })
    }
  } catch (error) {
    await close()
    throw error
  }
  return {
    name: files.name,
    find(name): StoredTensor | undefined {
      const place = places.get(name)
      if (!place) return undefined
      const { dtype, shape, start, end } = place.entry
      return stored({ file: place.file, start, end, shape, type: dtype, decoder: safetensorsDecoder(dtype, name) })
    },
    close,
  }
}

async function fileNames(files: FileSet): Promise<string[]> {
  const single = await files.open(SINGLE)
  if (single) {
    await single.close?.()
    return [SINGLE]
  }
  const index = (await readJson(files, INDEX)) as { weight_map?: Record<string, unknown> } | undefined
  if (!index) throw new ModelFormatError(`${files.name} has neither ${SINGLE} nor ${INDEX}: give a folder that holds a model.`)
  return shardNames(index, files.name)
}

/** The shards that a parsed index names. Throws ModelFormatError, also on names that leave the folder. */
export function shardNames(index: { weight_map?: Record<string, unknown> }, where: string): string[] {
  const names = [...new Set(Object.values(index?.weight_map ?? {}))]
  if (!names.length || !names.every((name) => typeof name === 'string' && /^[\w.-]+\.safetensors$/.test(name)))
    throw new ModelFormatError(`${where}/${INDEX} has no usable weight_map: fetch it again.`)
  return (names as string[]).sort()
}
