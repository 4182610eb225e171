import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { shardNames } from '../weights/safetensors.ts'
import { kindOf } from './files.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** Where downloaded models go: below HF_HUB_CACHE or HF_HOME/hub if set (in a folder `kvfold`), else ~/.cache/kvfold. */
export function cacheFolder(environment: Environment = process.env): string {
  const hub = environment.HF_HUB_CACHE || (environment.HF_HOME && join(environment.HF_HOME, 'hub'))
  return hub ? join(hub, 'kvfold') : join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'kvfold')
}

/** The folder of a model that Hugging Face's own tools have downloaded whole, if there is one. */
export async function huggingFaceSnapshot(
  repository: string,
  revision: string,
  environment: Environment = process.env,
): Promise<string | undefined> {
  const home = environment.HF_HOME || join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface')
  const folder = join(environment.HF_HUB_CACHE || join(home, 'hub'), `models--${repository.replace('/', '--')}`)
  const commit = await readFile(join(folder, 'refs', revision), 'utf8').then(
    (text) => text.trim(),
    () => revision,
  )
  const snapshot = join(folder, 'snapshots', commit)
  return (await isWhole(snapshot)) ? snapshot : undefined
}

/** A folder has a config, a tokenizer and all weights. */
export async function isWhole(folder: string): Promise<boolean> {
  const has = async (name: string): Promise<boolean> => (await kindOf(join(folder, name))) === 'file'
  if (!(await has('config.json')) || !(await has('tokenizer.json'))) return false
  if (await has('model.safetensors')) return true
  try {
    const names = shardNames(JSON.parse(await readFile(join(folder, 'model.safetensors.index.json'), 'utf8')), folder)
    return (await Promise.all(names.map(has))).every(Boolean)
  } catch {
    return false
  }
}
