import { rmSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'

/**
 * Writes a file as a whole: what was there stays until all of the new is on the disk. Returns its size in bytes. Throws what `chunks` and
 * the file system throw; then nothing has changed. Until it has its place, the new lies beside it as `FILE.*.tmp`.
 */
export async function writeWhole(file: string, chunks: AsyncIterable<Uint8Array>): Promise<number> {
  // In the same folder, since only within a disk a file takes another's place at once.
  const temporary = `${file}.${process.pid}.tmp`
  const clean = (): void => rmSync(temporary, { force: true })
  // An interrupted program leaves through here.
  process.once('exit', clean)
  let size = 0
  try {
    const handle = await open(temporary, 'w')
    try {
      for await (const chunk of chunks) {
        await handle.writeFile(chunk)
        size += chunk.length
      }
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
  } finally {
    await rm(temporary, { force: true })
    process.off('exit', clean)
  }
  return size
}
