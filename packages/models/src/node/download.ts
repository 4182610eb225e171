import { createHash } from 'node:crypto'
import { mkdir, open, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DownloadError } from '../errors.ts'
import { totalSize } from '../files/url.ts'

export interface DownloadOptions {
  fetch?: typeof fetch
  headers?: Record<string, string>
  signal?: AbortSignal
  onProgress?: (progress: { done: number; total: number }) => void
  /** How often a broken transfer is taken up again in this call. Default 4. */
  retries?: number
  /** Pause before the first retry, doubled for each further one, in milliseconds. Default 500. */
  pause?: number
}

/** What the server says of the file. */
export interface Remote {
  url: string
  /** In bytes. */
  size: number
  /** Changes when the content does. */
  etag: string
}

/**
 * Downloads to `path`. The bytes collect in `${path}.HASH.part` (the hash is of the etag), so that an interrupted download goes on where it
 * stopped, in this call or a later one, but never across versions. Throws DownloadError; the part stays unless it is wrong.
 */
export async function download(remote: Remote, path: string, options: DownloadOptions = {}): Promise<void> {
  const { signal, retries = 4, pause = 500 } = options
  const part = `${path}.${createHash('sha256').update(remote.etag).digest('hex').slice(0, 12)}.part`
  await mkdir(dirname(path), { recursive: true })
  for (let attempt = 0; ; attempt++) {
    try {
      await transfer(remote, part, options)
      break
    } catch (error) {
      signal?.throwIfAborted()
      const final = error instanceof DownloadError && !retriable(error.status)
      if (final || attempt === retries) throw asDownloadError(error, remote)
      await new Promise((resume) => setTimeout(resume, pause * 2 ** attempt))
    }
  }
  await rename(part, path)
}

// No status: the connection broke. Server errors and rate limits pass.
function retriable(status: number | undefined): boolean {
  return status === undefined || status >= 500 || status === 429 || status === 408
}

function asDownloadError(error: unknown, { url }: Remote): DownloadError {
  if (error instanceof DownloadError) return error
  return new DownloadError(`${url} could not be fetched whole: run again to go on where it stopped.`, { cause: error })
}

async function transfer(remote: Remote, part: string, options: DownloadOptions): Promise<void> {
  const { url, size } = remote
  const { signal, onProgress } = options
  let have = (await stat(part).catch(() => undefined))?.size ?? 0
  if (have > size) {
    await rm(part)
    have = 0
  }
  onProgress?.({ done: have, total: size })
  if (have === size) {
    if (size === 0) await (await open(part, 'w')).close()
    return
  }
  const response = await (options.fetch ?? fetch)(url, {
    headers: { ...options.headers, ...(have > 0 && { Range: `bytes=${have}-` }) },
    ...(signal && { signal }),
  })
  if (!response.ok || !response.body)
    throw new DownloadError(`${url} answered ${response.status}: check the name and your access.`, { status: response.status })
  // A server without ranges starts over.
  if (response.status !== 206) have = 0
  const total = response.status === 206 ? totalSize(response) : Number(response.headers.get('content-length') ?? size)
  if (total !== undefined && total !== size && !response.headers.has('content-encoding'))
    throw new DownloadError(`${url} is ${total} bytes long, expected ${size}: the file has changed, try again.`, {
      status: response.status,
    })
  const file = await open(part, have ? 'r+' : 'w')
  try {
    have = await write(response.body, file, have, size, (done) => onProgress?.({ done, total: size }))
  } finally {
    await file.close()
  }
  if (have === size) return
  if (have > size) {
    await rm(part)
    throw new DownloadError(`${url} sent more than its ${size} bytes: try again.`, { status: response.status })
  }
  throw new DownloadError(`${url} stopped after ${have} of ${size} bytes: run again to go on from there.`)
}

async function write(
  body: ReadableStream<Uint8Array>,
  file: FileHandle,
  at: number,
  size: number,
  onBytes: (done: number) => void,
): Promise<number> {
  for await (const bytes of body as unknown as AsyncIterable<Uint8Array>) {
    if (at + bytes.length > size) return at + bytes.length
    await file.writev([bytes], at)
    at += bytes.length
    onBytes(at)
  }
  return at
}
