import { readHeader } from './cache-header.ts'
import { cacheSource, type CacheSource } from './cache-source.ts'
import { readSums, readTensor } from './load-cache.ts'

/** What a cache file says about itself. */
export interface CacheFileInfo {
  policy: string
  fingerprint: string
  /** What its writer said. */
  info: Record<string, string>
  /** Tokens seen. */
  tokens: number
  layers: number
  /** Rows kept, over all layers and heads. */
  rows: number
  /** Of the whole file. */
  bytes: number
  /** How packed pages are coded, their bytes so, and their bytes before. */
  coding?: { name: string; bytes: number; plainBytes: number }
  /** Of each part. `packed`: as they are coded. `memory`: what methods remember. */
  parts: Record<'header' | 'packed' | 'raw' | 'columns' | 'memory' | 'checksums', number>
}

/**
 * Reads a cache file and checks all of it, or only its header, whatever model and policy it is of. Throws CacheFormatError.
 */
export async function inspectCache(file: CacheSource | Uint8Array, options: { header?: boolean } = {}): Promise<CacheFileInfo> {
  const source = cacheSource(file)
  const header = await readHeader(source)
  const { facts, tensors, bytes } = header
  const parts = { header: bytes, packed: 0, raw: 0, columns: 0, memory: 0, checksums: 0 }
  let coded = 0
  const sums = options.header ? undefined : await readSums(source, header)
  for (const [i, { name, start, end }] of tensors.entries()) {
    const part = name.split('.').at(-1)!.replace(/\d+$/, '').replace('coded', 'packed')
    if (Object.hasOwn(parts, part)) parts[part as keyof typeof parts] += end - start
    if (name.endsWith('.coded')) coded += end - start
    if (sums && part !== 'checksums') await readTensor(source, header, sums, i)
  }
  const { policy, fingerprint, info, tokens, heads } = facts
  const rows = heads.flat().reduce((sum, head) => sum + head.rows, 0)
  const coding = facts.coding && { name: facts.coding.name, bytes: coded, plainBytes: facts.coding.bytes }
  return { policy, fingerprint, info, tokens, layers: heads.length, rows, bytes: source.size, ...(coding && { coding }), parts }
}
