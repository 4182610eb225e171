import type { Ask, EngineEvent } from '../engine/engine.ts'
import { registry } from '../registry.ts'
import type { Desk } from './ask.ts'
import { codings } from './kept-caches.ts'
import type { ReadCache } from './read-cache.ts'

/** The compressed cache as it was when it had read the document, as a file of `kvfold cache save`. */
export async function saveCache(
  desk: Desk,
  ask: Ask,
  coded: boolean,
  onEvent: (event: EngineEvent) => void,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const { cache } = await readCacheOf(desk, ask, onEvent, signal)
  const { fingerprint } = desk.loaded.model
  const chunks: Uint8Array[] = []
  const coding = coded ? codings[0] : undefined
  for await (const chunk of cache.save({ fingerprint, info: { model: 'reference' }, coding })) chunks.push(chunk.slice())
  const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

async function readCacheOf(
  { kept }: Desk,
  { source, policy }: Ask,
  onEvent: (event: EngineEvent) => void,
  signal: AbortSignal,
): Promise<ReadCache> {
  if (source.kind === 'file') return kept.file(source.file.id)
  return kept.document(source.text, registry.policy(policy), { side: 'small', onEvent, signal })
}
