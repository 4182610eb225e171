import { TierError } from '@kvfold/kv-core'
import type * as Lmdb from 'lmdb'
import { node, type Node } from './node.ts'
import type { SyncTier } from './sync-tier.ts'

const CHECKSUM = 4

/** Where the store lies. */
export interface LmdbTierOptions {
  /** The store's own folder is made in here; default: the system's folder for temporary files. */
  path?: string
  /** Pages beyond this many bytes are refused. Default: as much as the disk takes. */
  maxBytes?: number
}

/**
 * Pages in an LMDB store: memory-mapped reads, synchronous. Every tier opens a store in a folder of its own (`kvfold-??????` in
 * `path`), so caches that share a path cannot see each other's pages and `close` gives the disk space back. The folder goes on
 * `close` and when the process exits. Every page carries a CRC-32 of its key and bytes. Node only: elsewhere a TierError.
 */
export function lmdbTier(options: LmdbTierOptions = {}): SyncTier {
  const { path, maxBytes = Infinity } = options
  const on = node()
  const folder = makeFolder(on, path)
  const { open } = on.require('lmdb') as typeof Lmdb
  // Pages are worth nothing after a crash, so no write waits for the disk.
  const config = { path: folder, encoding: 'binary', noSync: true, overlappingSync: false, noReadAhead: true } as const
  const store = tried(`open a store in ${folder}`, () => open<Uint8Array, number>(config))
  const sizes = new Map<number, number>()
  let held = 0
  let closed = false
  let scratch = new Uint8Array(0)

  const sum = (key: number, bytes: Uint8Array): number => on.zlib.crc32(bytes, key >>> 0)
  const check = (key: number): void => {
    if (closed) throw new TierError(`The store in ${folder} is closed: its pages are gone.`)
    if (!Number.isSafeInteger(key)) throw new TierError(`${key} is no key of a page: give a whole number.`)
  }
  return {
    name: 'lmdb',
    put(key, bytes) {
      check(key)
      const more = bytes.length - (sizes.get(key) ?? 0)
      if (held + more > maxBytes) throw new TierError(`The store in ${folder} is full: page ${key} would pass ${maxBytes} bytes.`)
      const length = bytes.length + CHECKSUM
      if (scratch.length < length) scratch = new Uint8Array(length)
      scratch.set(bytes)
      new DataView(scratch.buffer).setUint32(bytes.length, sum(key, bytes))
      tried(`keep page ${key} in ${folder}`, () => store.putSync(key, scratch.subarray(0, length)))
      held += more
      sizes.set(key, bytes.length)
    },
    get(key, into) {
      check(key)
      const size = sizes.get(key)
      if (size === undefined) throw new TierError(`The store in ${folder} has no page ${key}.`)
      if (size !== into.length) throw new TierError(`Page ${key} has ${size} bytes, not ${into.length}.`)
      // A view into the mapped file, good until the next call.
      const found = tried(`read page ${key} from ${folder}`, () => store.getBinaryFast(key))
      const intact = found?.length === size + CHECKSUM && found.readUInt32BE(size) === sum(key, found.subarray(0, size))
      if (!found || !intact) throw new TierError(`Page ${key} in ${folder} is damaged: somebody else wrote there, or the disk fails.`)
      into.set(found.subarray(0, size))
    },
    delete(key) {
      check(key)
      if (!sizes.has(key)) return
      tried(`delete page ${key} from ${folder}`, () => store.removeSync(key))
      held -= sizes.get(key) ?? 0
      sizes.delete(key)
    },
    async close() {
      if (closed) return
      closed = true
      sizes.clear()
      await store.close()
      removeFolder(on, folder)
    },
  }
}

function tried<T>(what: string, action: () => T): T {
  try {
    return action()
  } catch (cause) {
    throw new TierError(`Cannot ${what}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

// Folders that are open now, for the one listener that removes them if the process exits first.
const open = new Set<string>()
const removeAll = (): void => {
  for (const folder of open) removeFolder(node(), folder)
}

function makeFolder({ fs, os, path, process }: Node, parent: string = os.tmpdir()): string {
  const folder = tried(`make a folder in ${parent}`, () => {
    fs.mkdirSync(parent, { recursive: true })
    return fs.mkdtempSync(path.join(parent, 'kvfold-'))
  })
  if (open.size === 0) process.on('exit', removeAll)
  open.add(folder)
  return folder
}

function removeFolder({ fs, process }: Node, folder: string): void {
  open.delete(folder)
  if (open.size === 0) process.off('exit', removeAll)
  fs.rmSync(folder, { recursive: true, force: true })
}
