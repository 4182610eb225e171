import { readFile } from 'node:fs/promises'
import { UsageError } from './errors.ts'

/** The text of a file, or of the standard input for `-`. Throws UsageError if there is none. */
export async function readText(path: string): Promise<string> {
  const bytes =
    path === '-'
      ? await readStdin()
      : await readFile(path).catch((error: NodeJS.ErrnoException) => {
          throw new UsageError(
            error.code === 'ENOENT'
              ? `There is no file "${path}": check the path.`
              : `"${path}" cannot be read (${error.code}): give a text file.`,
          )
        })
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new UsageError(`"${path}" is not UTF-8 text: convert it first.`)
  }
  if (text.trim() === '') throw new UsageError(`"${path}" is empty: give a file with text in it.`)
  return text
}

async function readStdin(): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
