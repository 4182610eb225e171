import { TierError } from '@kvfold/kv-core'
import type { SyncTier } from './sync-tier.ts'

/** A tier in a Map: the simplest one, and the model that the others are tested against. Saves nothing. */
export function memoryTier(options: { maxBytes?: number } = {}): SyncTier {
  const { maxBytes = Infinity } = options
  const pages = new Map<number, Uint8Array>()
  let held = 0
  let closed = false
  const check = (): void => {
    if (closed) throw new TierError('The memory tier is closed: its pages are gone.')
  }
  return {
    name: 'memory',
    put(key, bytes) {
      check()
      const more = bytes.length - (pages.get(key)?.length ?? 0)
      if (held + more > maxBytes) throw new TierError(`The memory tier is full: page ${key} would pass ${maxBytes} bytes.`)
      held += more
      pages.set(key, bytes.slice())
    },
    get(key, into) {
      check()
      const page = pages.get(key)
      if (!page) throw new TierError(`The memory tier has no page ${key}.`)
      if (page.length !== into.length) throw new TierError(`Page ${key} has ${page.length} bytes, not ${into.length}.`)
      into.set(page)
    },
    delete(key) {
      check()
      held -= pages.get(key)?.length ?? 0
      pages.delete(key)
    },
    close() {
      closed = true
      held = 0
      pages.clear()
    },
  }
}
