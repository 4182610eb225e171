import { inspectCache, KvCache, type PageCoding, type Policy } from '@kvfold/kv-core'
import { HistoryRecorder } from '@kvfold/kv-core/history'
import { cachegenCoding } from '@kvfold/quant'
import type { OpenedFile } from '../engine/engine.ts'
import { registry } from '../registry.ts'
import type { Loaded } from './loaded.ts'
import { documentTokens } from './prompt.ts'
import { readDocument, type ReadCache, type SideOptions } from './read-cache.ts'

/** What cache files may be coded with: the same as the command's. */
export const codings: readonly PageCoding[] = [cachegenCoding]

/** The last document's caches, one of each side, and the file that was opened last. */
export class KeptCaches {
  private readonly loaded: Loaded
  private readonly documents = new Map<'full' | 'small', ReadCache & { text: string; policy: string }>()
  private opened: (ReadCache & { id: number }) | undefined
  private files = 0

  constructor(loaded: Loaded) {
    this.loaded = loaded
  }

  /** A cache that has read a document under a policy: read now, unless that was the last one of its side. */
  async document(text: string, policy: Policy, options: SideOptions): Promise<ReadCache & { reused: boolean }> {
    const { documents, loaded } = this
    const kept = documents.get(options.side)
    if (kept?.text === text && kept.policy === policy.text) return { ...kept, reused: true }
    documents.delete(options.side)
    await kept?.cache.dispose()
    const tokens = documentTokens(loaded.tokenizer, text)
    const read = { ...(await readDocument(loaded, policy, tokens, options)), pieces: loaded.tokenizer.pieces(tokens) }
    documents.set(options.side, { ...read, text, policy: policy.text })
    return { ...read, reused: false }
  }

  /** Opens a cache file that this page or `kvfold cache save` wrote. Throws what `KvCache.load` throws. */
  async open(file: File): Promise<OpenedFile> {
    const source = { name: file.name, size: file.size, read: async (start: number, end: number) => bytesOf(file.slice(start, end)) }
    const { policy: text, tokens } = await inspectCache(source, { header: true })
    const { model, kernels } = this.loaded
    const { shape, fingerprint } = model
    const policy = registry.policy(text)
    const cache = await KvCache.load(source, { shape, policy, kernels, model, fingerprint, codings, trace: true })
    await this.opened?.cache.dispose()
    const recorder = new HistoryRecorder(cache)
    recorder.look()
    const id = ++this.files
    // A file holds rows, and not the text that they were made of.
    this.opened = { id, cache, recorder, pieces: Array.from({ length: tokens }, () => ''), readMs: 0 }
    return { id, name: file.name, policy: policy.text, tokens, bytes: file.size }
  }

  /** The cache of a file. Only the last one that was opened is held. */
  file(id: number): ReadCache {
    if (this.opened?.id !== id) throw new Error('This file is not open any more: open it again.')
    return this.opened
  }
}

async function bytesOf(blob: Blob): Promise<Uint8Array> {
  return new Uint8Array(await blob.arrayBuffer())
}
