import { readFile } from 'node:fs/promises'

/** Documents that the reference model never saw: `data/heldout.txt`, split at its NUL characters. */
export async function heldOutDocuments(): Promise<string[]> {
  const text = await readFile(new URL('../data/heldout.txt', import.meta.url), 'utf8')
  return text.split('\0').filter((document) => document.trim())
}
