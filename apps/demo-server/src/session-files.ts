import { createHash } from 'node:crypto'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { inspectCache, KvCache, type Policy } from '@kvfold/kv-core'
import type { Kernels } from '@kvfold/kernels'
import type { LlamaModel } from '@kvfold/models'
import { fileSource, writeWhole } from '@kvfold/models/node'

/** What a session's file says beside its cache. */
export interface SessionFacts {
  id: string
  policy: string
  /** Tokens made that the cache has not read yet. */
  unread: number[]
  turns: number
  /** That the cache has read. */
  tokens: number
  /** Bytes of the cache in memory, and of the file. */
  bytes: number
  size: number
}

/** What the file itself says. */
type Written = Omit<SessionFacts, 'policy' | 'tokens' | 'size'>

/** A folder of sessions, one cache file each, which are written whole: under another name first, then to the disk, then in place. */
export class SessionFiles {
  private readonly folder: string
  private readonly model: LlamaModel
  private readonly kernels: Kernels

  constructor(folder: string, model: LlamaModel, kernels: Kernels) {
    this.folder = folder
    this.model = model
    this.kernels = kernels
  }

  /**
   * The sessions of this model. Removes what a server that was killed left half written; `refuse` is told of files that are damaged at
   * their start, which are removed too, and of those of another model, which stay.
   */
  async open(refuse: (file: string, why: string) => void): Promise<SessionFacts[]> {
    await mkdir(this.folder, { recursive: true })
    const found: SessionFacts[] = []
    for (const name of await readdir(this.folder)) {
      const file = join(this.folder, name)
      if (/\.kv\.\d+\.tmp$/.test(name)) await rm(file, { force: true })
      else if (/^[0-9a-f]{64}\.kv$/.test(name)) {
        try {
          const facts = await this.inspect(file)
          if (facts) found.push(facts)
          else refuse(file, 'it is of another model')
        } catch (error) {
          refuse(file, (error as Error).message)
          await rm(file, { force: true })
        }
      }
    }
    return found
  }

  private async inspect(file: string): Promise<SessionFacts | undefined> {
    const source = await fileSource(file)
    try {
      const { policy, fingerprint, info, tokens, bytes } = await inspectCache(source, { header: true })
      if (fingerprint !== this.model.fingerprint) return undefined
      return { ...(JSON.parse(info['session']) as Written), policy, tokens, size: bytes }
    } finally {
      await source.close?.()
    }
  }

  /** Returns the file's bytes. Throws what the file system throws. */
  async write(facts: Written, cache: KvCache): Promise<number> {
    return writeWhole(this.path(facts.id), cache.save({ fingerprint: this.model.fingerprint, info: { session: JSON.stringify(facts) } }))
  }

  /** Throws CacheFormatError if a byte of it is not what was written. */
  async read(id: string, policy: Policy): Promise<KvCache> {
    const source = await fileSource(this.path(id))
    try {
      const { model, kernels } = this
      return await KvCache.load(source, { shape: model.shape, policy, kernels, model, fingerprint: model.fingerprint })
    } finally {
      await source.close?.()
    }
  }

  async remove(id: string): Promise<void> {
    await rm(this.path(id), { force: true })
  }

  /** Whatever a session is called, its file's name is harmless. */
  private path(id: string): string {
    return join(this.folder, `${createHash('sha256').update(id).digest('hex')}.kv`)
  }
}
