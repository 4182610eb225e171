import type { KvCache, Policy } from '@kvfold/kv-core'
import type { LlamaModel } from '@kvfold/models'
import type { Budget } from './budget.ts'
import { CHUNK } from './estimate.ts'
import type { Prefixes } from './prefixes.ts'
import type { Turns } from './turns.ts'

/** Without a policy a prompt is read in blocks of so many tokens, a whole number of pages, and a snapshot is taken after each. */
const BLOCK = 256

/** What reading needs. */
export interface Reader {
  model: LlamaModel
  turns: Turns
  prefixes: Prefixes
  budget: Budget
}

/** A cache that reads: as it is, and as the model sees it when others wait. */
export interface Reading {
  cache: KvCache
  shared: KvCache
  policy: Policy
  signal: AbortSignal
  /** Take snapshots, for prompts that begin with the same tokens. */
  keep: boolean
}

/**
 * Reads a prompt from its token `from` on, and returns the logits of its last one.
 *
 * Without a policy nothing that was read depends on what follows: whatever begins like this prompt may go on from a snapshot. Under a policy
 * only what it made of a whole prompt means something, so there is no snapshot before the end.
 */
export async function readPrompt(
  { model, turns, prefixes, budget }: Reader,
  { cache, shared, policy, signal, keep }: Reading,
  tokens: readonly number[],
  from: number,
): Promise<Float32Array> {
  const block = policy.text === 'full' ? BLOCK : Infinity
  for (let at = from; ;) {
    const end = block === Infinity ? tokens.length : Math.min(tokens.length, (Math.floor(at / block) + 1) * block)
    const part = tokens.slice(at, end)
    const isLast = end === tokens.length
    const logits = await turns.run('prompt', () => model.forward(part, shared, { chunk: CHUNK, logits: isLast ? 'last' : 'none', signal }))
    if (isLast) return logits
    // The snapshot's own columns must find room.
    if (keep && budget.free >= cache.ledger().columns) prefixes.keep(policy.text, tokens, end, cache)
    at = end
  }
}
