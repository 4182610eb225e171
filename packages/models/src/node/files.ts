import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ModelFormatError } from '../errors.ts'
import type { FileSet, FileSource } from '../files/file-source.ts'

// Node reads at most 2 GiB in one call.
const MOST = 2 ** 30

/** A file on disk. Close it when done. Throws ModelFormatError if there is none. */
export async function fileSource(path: string): Promise<FileSource> {
  const handle = await open(path).catch((cause: unknown) => {
    throw new ModelFormatError(`${path} cannot be opened: check the path.`, { cause })
  })
  const { size } = await handle.stat()
  return {
    name: path,
    size,
    async read(start, end) {
      const bytes = new Uint8Array(end - start)
      for (let filled = 0; filled < bytes.length;) {
        const { bytesRead } = await handle.read(bytes, filled, Math.min(MOST, bytes.length - filled), start + filled)
        if (!bytesRead) return bytes.subarray(0, filled)
        filled += bytesRead
      }
      return bytes
    },
    close: () => handle.close(),
  }
}

/** A folder on disk. */
export function directoryFiles(path: string): FileSet {
  return {
    name: path,
    async open(name) {
      const full = join(path, name)
      return (await kindOf(full)) === 'file' ? fileSource(full) : undefined
    },
  }
}

/** What a path is. */
export async function kindOf(path: string): Promise<'file' | 'directory' | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found?.isFile() ? 'file' : found?.isDirectory() ? 'directory' : undefined
}
