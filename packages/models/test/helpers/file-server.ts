import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface FileServer {
  url: string
  /** 'METHOD path range' of each request, in order. */
  requests: string[]
  /** Closes the connection after so many bytes of a body, once. */
  breakAfter?: number
  /** Answers everything with this status. */
  status?: number
  /** Ignores Range headers, but for the first byte alone. */
  noRanges?: boolean
  close(): Promise<void>
}

/** A hub on this machine: files by path, with ranges and etags. */
export async function serveFiles(files: Record<string, Uint8Array>): Promise<FileServer> {
  const http = createServer((request, response) => answer(server, files, request, response))
  await new Promise<void>((done) => http.listen(0, '127.0.0.1', done))
  const server: FileServer = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    requests: [],
    close: async () => {
      http.closeAllConnections()
      await new Promise((done) => http.close(done))
    },
  }
  return server
}

function answer(server: FileServer, files: Record<string, Uint8Array>, request: IncomingMessage, response: ServerResponse): void {
  const path = decodeURIComponent(request.url!.split('?')[0]!),
    wanted = request.headers.range
  server.requests.push(`${request.method} ${path} ${wanted ?? '-'}`)
  const file = files[path]
  if (server.status || !file) {
    response.writeHead(server.status ?? 404, server.status ? {} : { 'X-Error-Code': 'EntryNotFound' }).end()
    return
  }
  const [, from, to] = /bytes=(\d+)-(\d*)/.exec(wanted ?? '') ?? []
  const ranged = from !== undefined && !(server.noRanges && wanted !== 'bytes=0-0')
  const start = ranged ? Number(from) : 0
  const body = file.subarray(start, ranged && to ? Number(to) + 1 : file.length)
  response.writeHead(ranged ? 206 : 200, {
    ETag: `"${file.length}"`,
    'Content-Length': body.length,
    'Accept-Ranges': 'bytes',
    ...(ranged && { 'Content-Range': `bytes ${start}-${start + body.length - 1}/${file.length}` }),
  })
  if (server.breakAfter !== undefined && body.length > server.breakAfter) {
    response.write(body.subarray(0, server.breakAfter), () => setTimeout(() => response.destroy(), 20))
    server.breakAfter = undefined
  } else response.end(body)
}
