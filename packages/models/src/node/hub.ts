import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DownloadError, ModelFormatError } from '../errors.ts'
import { shardNames } from '../weights/safetensors.ts'
import { cacheFolder, huggingFaceSnapshot, isWhole } from './cache-folder.ts'
import { download, type DownloadOptions } from './download.ts'
import { kindOf } from './files.ts'

export interface HubOptions extends Omit<DownloadOptions, 'onProgress' | 'headers'> {
  /** Branch, tag or commit. Default 'main'. */
  revision?: string
  /** Default: what HF_ENDPOINT says, or https://huggingface.co. */
  hubUrl?: string
  /** For private and gated models. Default: what HF_TOKEN says. */
  accessToken?: string
  /** Where models are kept. Default: see `cacheFolder`. */
  folder?: string
  /** Bytes of the file under way. */
  onDownload?: (progress: { file: string; done: number; total: number }) => void
}

const OPTIONAL = ['tokenizer_config.json', 'generation_config.json', 'chat_template.jinja']

/**
 * Downloads a model (config, tokenizer, safetensors weights) by its repository name, `owner/name`, and returns the folder. A model that is
 * there whole, from an earlier call or from Hugging Face's own tools, is used without asking the hub. Throws DownloadError.
 */
export async function downloadModel(repository: string, options: HubOptions = {}): Promise<string> {
  const revision = options.revision ?? 'main'
  checkName(repository, revision)
  const folder = join(options.folder ?? cacheFolder(), ...repository.split('/'), revision)
  if (await isWhole(folder)) return folder
  const snapshot = options.folder === undefined ? await huggingFaceSnapshot(repository, revision) : undefined
  if (snapshot) return snapshot

  const get = (file: string): Promise<boolean> => getFile(repository, revision, file, folder, options)
  const must = async (file: string): Promise<void> => {
    if (!(await get(file))) throw new DownloadError(`${repository} has no ${file}: choose a model in Hugging Face layout.`, { status: 404 })
  }
  await must('config.json')
  for (const file of OPTIONAL) await get(file)
  if (!(await get('model.safetensors'))) {
    await must('model.safetensors.index.json')
    const index = await readFile(join(folder, 'model.safetensors.index.json'), 'utf8')
    for (const shard of shardNames(parse(index), repository)) await must(shard)
  }
  // Last: with it, the folder counts as whole.
  await must('tokenizer.json')
  return folder
}

/** Downloads one file of a repository, such as a GGUF file, and returns its path. Throws DownloadError. */
export async function downloadFile(repository: string, file: string, options: HubOptions = {}): Promise<string> {
  const revision = options.revision ?? 'main'
  checkName(repository, revision)
  if (!/^[\w.-]+(\/[\w.-]+)*$/.test(file) || file.split('/').includes('..')) throw new DownloadError(`'${file}' is no file name: check it.`)
  const folder = join(options.folder ?? cacheFolder(), ...repository.split('/'), revision)
  if (!(await getFile(repository, revision, file, folder, options)))
    throw new DownloadError(`${repository} has no ${file}: check the name.`, { status: 404 })
  return join(folder, file)
}

function checkName(repository: string, revision: string): void {
  if (!/^[\w][\w.-]*\/[\w][\w.-]*$/.test(repository))
    throw new DownloadError(`'${repository}' is no repository name: write owner/name, or give a path that exists.`)
  if (!/^[\w][\w./-]*$/.test(revision) || revision.includes('..')) throw new DownloadError(`'${revision}' is no revision: check it.`)
}

/** False if the repository has no such file. */
async function getFile(repository: string, revision: string, file: string, folder: string, options: HubOptions): Promise<boolean> {
  const path = join(folder, file)
  if ((await kindOf(path)) === 'file') return true
  const { fileDownloadInfo, HubApiError } = await import('@huggingface/hub')
  const hubUrl = options.hubUrl ?? (process.env.HF_ENDPOINT || 'https://huggingface.co')
  const accessToken = options.accessToken ?? (process.env.HF_TOKEN || undefined)
  const request: typeof fetch = (input, init) =>
    (options.fetch ?? fetch)(input, { ...init, ...(options.signal && { signal: options.signal }) })
  const info = await fileDownloadInfo({
    repo: repository,
    path: file,
    revision,
    hubUrl,
    fetch: request,
    ...(accessToken && { accessToken }),
  }).catch((cause: unknown) => {
    options.signal?.throwIfAborted()
    const status = cause instanceof HubApiError ? cause.statusCode : undefined
    const advice = status === 401 || status === 403 ? 'it may not exist or need a token (HF_TOKEN)' : 'check the name and the connection'
    throw new DownloadError(`${hubUrl} does not give out ${repository}/${file} (${status ?? String(cause)}): ${advice}.`, {
      cause,
      ...(status && { status }),
    })
  })
  if (!info) return false
  const { onDownload, ...rest } = options
  await download({ url: info.url, size: info.size, etag: info.etag }, path, {
    ...rest,
    ...(accessToken && { headers: { Authorization: `Bearer ${accessToken}` } }),
    onProgress: (progress) => onDownload?.({ file, ...progress }),
  })
  return true
}

function parse(index: string): { weight_map?: Record<string, unknown> } {
  try {
    return JSON.parse(index) as { weight_map?: Record<string, unknown> }
  } catch (cause) {
    throw new ModelFormatError('model.safetensors.index.json is not valid JSON: delete it and run again.', { cause })
  }
}
