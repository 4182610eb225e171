import { ModelFormatError } from '../errors.ts'

/** A file that can be read in ranges: on disk, over HTTP, or in memory. */
export interface FileSource {
  /** For messages. */
  readonly name: string
  /** In bytes. */
  readonly size: number
  /** Bytes `start` (inclusive) to `end` (exclusive), which lie inside the file. */
  read(start: number, end: number): Promise<Uint8Array>
  close?(): Promise<void>
}

/** A folder of files, by name. */
export interface FileSet {
  /** For messages. */
  readonly name: string
  /** Undefined if there is no such file. */
  open(name: string): Promise<FileSource | undefined>
}

/** A file in memory. */
export function bytesSource(name: string, bytes: Uint8Array): FileSource {
  return { name, size: bytes.length, read: async (start, end) => bytes.subarray(start, end) }
}

/** Files in memory. */
export function bytesFiles(name: string, files: Record<string, Uint8Array>): FileSet {
  return {
    name,
    open: async (file) => (Object.hasOwn(files, file) ? bytesSource(`${name}/${file}`, files[file]) : undefined),
  }
}

/** Reads a range and makes sure that all of it came. Throws ModelFormatError. */
export async function readRange(file: FileSource, start: number, end: number): Promise<Uint8Array> {
  if (start < 0 || end < start || end > file.size)
    throw new ModelFormatError(
      `${file.name} ends at byte ${file.size}, but bytes up to ${end} are needed: the file is cut short, fetch it again.`,
    )
  const bytes = await file.read(start, end)
  if (bytes.length !== end - start)
    throw new ModelFormatError(`${file.name}: read ${bytes.length} of ${end - start} bytes at ${start}: fetch it again.`)
  return bytes
}

/** A whole small file as text; undefined if it is not there. */
export async function readText(files: FileSet, name: string): Promise<string | undefined> {
  const file = await files.open(name)
  if (!file) return undefined
  try {
    return new TextDecoder().decode(await readRange(file, 0, file.size))
  } finally {
    await file.close?.()
  }
}

/** A whole small file as JSON; undefined if it is not there. Throws ModelFormatError. */
export async function readJson(files: FileSet, name: string): Promise<unknown> {
  const text = await readText(files, name)
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new ModelFormatError(`${files.name}/${name} is not valid JSON: fetch it again.`, { cause })
  }
}
