import { CacheFormatError } from './errors.ts'

/** A cache file that can be read in ranges: on disk, over HTTP, or in memory. */
export interface CacheSource {
  /** For messages. */
  readonly name?: string
  /** In bytes. */
  readonly size: number
  /** Bytes `start` (inclusive) to `end` (exclusive), which lie inside the file. */
  read(start: number, end: number): Promise<Uint8Array>
}

/** Bytes in memory as a source; a source as it is. */
export function cacheSource(file: CacheSource | Uint8Array): CacheSource {
  return file instanceof Uint8Array ? { size: file.length, read: async (start, end) => file.subarray(start, end) } : file
}

/** Reads a range and makes sure that all of it came. Throws CacheFormatError. */
export async function readBytes(source: CacheSource, start: number, end: number): Promise<Uint8Array> {
  const bytes = await source.read(start, end)
  if (bytes.length !== end - start) throw damaged(source, `${bytes.length} of ${end - start} bytes came at ${start}`)
  return bytes
}

/** The error of a file that cannot be what it says. */
export function damaged(source: CacheSource, what: string, cause?: unknown): CacheFormatError {
  return new CacheFormatError(`${source.name ?? 'This file'} is not a sound KVFold cache (${what}): save the cache again.`, { cause })
}
