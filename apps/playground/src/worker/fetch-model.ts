import { DownloadError } from '@kvfold/models'
import { MODEL_FILES } from 'virtual:model-files'

/** Where the browser keeps the model's files. */
const KEPT = 'kvfold-model'

type Progress = (done: number, total: number) => void

/** One of the model's files, from what the browser kept or else from where the page came from. Throws DownloadError. */
export async function fetchModelFile(name: string, onBytes: (count: number) => void = () => {}): Promise<Uint8Array> {
  const { size, url } = locate(name)
  const kept = await openKept()
  const found = await kept?.match(url)
  const response = found ?? (await fetch(url).catch((cause: unknown) => fail(url, 'cannot be reached', cause)))
  if (!response.ok) fail(url, `answered ${response.status}`)
  const bytes = await readAll(response, size, onBytes)
  if (bytes.length !== size) fail(url, `has ${bytes.length} bytes and not ${size}`)
  if (!found) await kept?.put(url, new Response(bytes)).catch(() => console.info(`No room to keep ${name} for the next visit.`))
  return bytes
}

/** All files of the model, by name. */
export async function fetchModel(onProgress: Progress): Promise<Record<string, Uint8Array>> {
  const total = MODEL_FILES.reduce((sum, { size }) => sum + size, 0)
  let done = 0
  const files = await Promise.all(
    MODEL_FILES.map(async ({ name }) => {
      const bytes = await fetchModelFile(name, (count) => onProgress((done += count), total))
      return [name, bytes] as const
    }),
  )
  await forgetOthers()
  return Object.fromEntries(files)
}

/** Only pages that came over https, or from this machine, have a cache, unless the browser denies it. */
async function openKept(): Promise<Cache | undefined> {
  return typeof caches === 'undefined' ? undefined : caches.open(KEPT).catch(() => undefined)
}

function locate(name: string): { size: number; url: string } {
  const { size, hash } = MODEL_FILES.find((file) => file.name === name)!
  const folder = new URL(import.meta.env.DEV ? '/model/' : '../model/', self.location.href)
  return { size, url: new URL(`${name}?${hash}`, folder).href }
}

/** Files of a model that this page had before. */
async function forgetOthers(): Promise<void> {
  const kept = await openKept()
  if (!kept) return
  const wanted = new Set(MODEL_FILES.map(({ name }) => locate(name).url))
  const folder = new URL('.', [...wanted][0]).href
  for (const { url } of await kept.keys()) if (url.startsWith(folder) && !wanted.has(url)) await kept.delete(url)
}

async function readAll(response: Response, size: number, onBytes: (count: number) => void): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(size)
  let length = 0
  for (const reader = response.body!.getReader(); ;) {
    const { value, done } = await reader.read()
    if (done) return bytes.subarray(0, length)
    if (length + value.length > size) fail(response.url, `has more than ${size} bytes`)
    bytes.set(value, length)
    length += value.length
    onBytes(value.length)
  }
}

function fail(url: string, what: string, cause?: unknown): never {
  throw new DownloadError(`${url} ${what}: check the connection, and load the page again.`, { cause })
}
