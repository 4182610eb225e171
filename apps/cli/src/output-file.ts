import { access, stat, writeFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { writeWhole as write } from '@kvfold/models/node'
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
  return write(file, chunks).catch(refused(file))
}

/** Writes what is held in memory. Throws UsageError if the disk refuses. */
export async function writeShort(file: string, content: string | Uint8Array): Promise<void> {
  await writeFile(file, content).catch(refused(file))
}

function refused(file: string): (error: NodeJS.ErrnoException) => never {
  return (error) => {
    // What the writer itself throws comes from no system call.
    if (!error.syscall) throw error
    throw new UsageError(`"${file}" cannot be written (${error.code}): choose another file.`)
  }
}
