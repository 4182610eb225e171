import { DownloadError } from '../errors.ts'
import type { FileSet, FileSource } from './file-source.ts'

/** How to reach a server; `fetch` defaults to the runtime's. */
export interface UrlOptions {
  fetch?: typeof fetch
  headers?: Record<string, string>
  signal?: AbortSignal
}

/** The files below a URL, read by HTTP range requests: what a page without a file system uses. */
export function urlFiles(base: string, options: UrlOptions = {}): FileSet {
  const root = base.endsWith('/') ? base : `${base}/`
  return { name: base, open: (name) => urlSource(root + name, options) }
}

/**
 * One file behind a URL, read by HTTP range requests; undefined if the server answers 404.
 * Throws DownloadError on any other answer, and if the server does not say how long the file is.
 */
export async function urlSource(url: string, options: UrlOptions = {}): Promise<FileSource | undefined> {
  const request = async (range: string): Promise<Response> =>
    (options.fetch ?? fetch)(url, {
      headers: { ...options.headers, Range: range },
      ...(options.signal && { signal: options.signal }),
    })
  const head = await request('bytes=0-0')
  const size = totalSize(head)
  if (head.status === 206) await head.arrayBuffer()
  if (head.status === 404) return undefined
  if (!head.ok) throw new DownloadError(`${url} answered ${head.status}: check the address.`, { status: head.status })
  // A server that ignores ranges has sent everything already.
  if (head.status === 200) {
    const all = new Uint8Array(await head.arrayBuffer())
    return { name: url, size: all.length, read: async (start, end) => all.subarray(start, end) }
  }
  if (size === undefined) throw new DownloadError(`${url} does not say how long it is: use a server that sends Content-Range.`)
  return {
    name: url,
    size,
    async read(start, end) {
      if (end === start) return new Uint8Array(0)
      const answer = await request(`bytes=${start}-${end - 1}`)
      if (answer.status !== 206)
        throw new DownloadError(`${url} answered ${answer.status} to a range request: try again.`, { status: answer.status })
      return new Uint8Array(await answer.arrayBuffer())
    },
  }
}

/** The total of a Content-Range header, `bytes 0-0/TOTAL`. */
export function totalSize(response: Response): number | undefined {
  const total = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1]
  return total === undefined ? undefined : Number(total)
}
