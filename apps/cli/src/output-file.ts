import { rmSync } from 'node:fs'
import { access, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { UsageError } from './errors.ts'

/** Throws UsageError if a file cannot lie there: no work is done in vain. */
export async function checkFolder(file: string): Promise<void> {
  await access(dirname(file)).catch(() => {
    throw new UsageError(`There is no folder "${dirname(file)}" for ${basename(file)}: make it first, or choose another.`)
  })
  const there = await stat(file).catch(() => undefined)
  if (there?.isDirectory()) throw new UsageError(`"${file}" is a folder: give the name of a file in it.`)
}

/**
 * Writes a file as a whole: what was there stays until all of the new is on the disk. Returns its size. Throws UsageError if the disk
 * refuses, and what `chunks` throws; then nothing has changed.
 */
export async function writeWhole(file: string, chunks: AsyncIterable<Uint8Array>): Promise<number> {
  // In the same folder, since only within a disk a file takes another's place at once.
  const temporary = `${file}.${process.pid}.tmp`
  const clean = (): void => rmSync(temporary, { force: true })
  // An interrupted program leaves through here.
  process.once('exit', clean)
  let size = 0
  try {
    const handle = await refused(file, open(temporary, 'w'))
    try {
      for await (const chunk of chunks) {
        await refused(file, handle.writeFile(chunk))
        size += chunk.length
      }
      await refused(file, handle.sync())
    } finally {
      await handle.close()
    }
    await refused(file, rename(temporary, file))
  } finally {
    await rm(temporary, { force: true })
    process.off('exit', clean)
  }
  return size
}

async function refused<T>(file: string, done: Promise<T>): Promise<T> {
  return done.catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`"${file}" cannot be written (${error.code}): choose another file.`)
  })
}
