import type { KvCache } from '@kvfold/kv-core'
import type { Budget } from './budget.ts'
import { PrefixTree } from './prefix-tree.ts'

/** Snapshots held at once: each costs some objects that no ledger counts. */
const MOST = 1024

/** What a cache was when it had read the first `length` of some tokens. */
interface Snapshot {
  policy: string
  tokens: readonly number[]
  length: number
  cache: KvCache
  /** Of the last token, where a prompt ended. */
  logits?: Float32Array
}

/**
 * Snapshots of caches by the tokens that they have read, for prompts that begin with the same ones. A snapshot is a fork: it shares pages
 * with the cache that it was taken of, and whoever goes on from it shares them too. Only prompts of the same policy meet. Who may go on
 * from what is decided by who keeps what: see `read-prompt.ts`.
 */
export class Prefixes {
  private readonly budget: Budget
  private readonly trees = new Map<string, PrefixTree<Snapshot>>()
  /** In the order of their last use. */
  private readonly snapshots = new Set<Snapshot>()

  constructor(budget: Budget) {
    this.budget = budget
  }

  get size(): number {
    return this.snapshots.size
  }

  /** The longest snapshot that a prompt begins with; one of all its tokens only if it has logits. */
  find(policy: string, tokens: readonly number[]): Snapshot | undefined {
    const along = this.trees.get(policy)?.along(tokens) ?? []
    const usable = along.filter(({ length, value }) => length < tokens.length || value.logits).map(({ value }) => value)
    for (const snapshot of usable) {
      this.snapshots.delete(snapshot)
      this.snapshots.add(snapshot)
    }
    return usable.at(-1)
  }

  has(policy: string, tokens: readonly number[]): boolean {
    return this.trees.get(policy)?.get(tokens) !== undefined
  }

  /** Takes a snapshot of a cache that has read the first `length` tokens. */
  keep(policy: string, tokens: readonly number[], length: number, cache: KvCache, logits?: Float32Array): void {
    let tree = this.trees.get(policy)
    if (!tree) this.trees.set(policy, (tree = new PrefixTree()))
    const own = tokens.slice(0, length)
    const there = tree.get(own)
    if (there) {
      there.logits ??= logits
      return
    }
    const snapshot = { policy, tokens, length, cache: cache.fork(), logits }
    tree.set(own, snapshot)
    this.snapshots.add(snapshot)
    this.budget.rest(snapshot.cache, logits?.byteLength)
    if (this.snapshots.size > MOST) void this.drop()
  }

  /** Gives up the snapshot that was used longest ago. False if there is none. */
  async drop(): Promise<boolean> {
    const [oldest] = this.snapshots
    if (!oldest) return false
    const { policy, tokens, length, cache } = oldest
    this.snapshots.delete(oldest)
    this.trees.get(policy)!.delete(tokens.slice(0, length))
    this.budget.wake(cache)
    await cache.dispose()
    return true
  }

  async close(): Promise<void> {
    while (await this.drop());
  }
}
