import { KvCache, type Policy } from '@kvfold/kv-core'
import { HistoryRecorder } from '@kvfold/kv-core/history'
import { DEFAULT_CHUNK } from '@kvfold/models'
import type { EngineEvent, Side } from '../engine/engine.ts'
import { heldIn } from './held-in.ts'
import type { Loaded } from './loaded.ts'
import { pausingCache } from './pausing-cache.ts'
import { Stopwatch } from './stopwatch.ts'

/** Tokens of a prompt that are read at a time, so that stopping takes no longer. A policy that chooses what a chunk looks at has the model's. */
export function chunkOf(policy: Policy): number {
  return policy.attention ? DEFAULT_CHUNK : 256
}

/** Milliseconds between two events while a prompt is read. */
const BETWEEN = 50

/** A cache that has read a document: questions go on from forks of it. */
export interface ReadCache {
  cache: KvCache
  /** Of a cache whose history is wanted. */
  recorder?: HistoryRecorder
  /** The document's tokens, as text. */
  pieces: string[]
  readMs: number
}

/** What one side of a question works with. */
export interface SideOptions {
  side: Side
  signal: AbortSignal
  onEvent: (event: EngineEvent) => void
}

/** Reads a document under a policy. Throws what the model throws, and the signal's reason; nothing is left then. */
export async function readDocument(
  { model, kernels }: Loaded,
  policy: Policy,
  tokens: readonly number[],
  { side, signal, onEvent }: SideOptions,
): Promise<Omit<ReadCache, 'pieces'>> {
  const record = side === 'small'
  const cache = new KvCache(model.shape, { policy, kernels, model, trace: record })
  const watch = new Stopwatch()
  try {
    const onProgress = progressEvents(cache, watch, side, onEvent)
    await watch.time(() =>
      model.forward(tokens, pausingCache(cache, watch), { logits: 'none', chunk: chunkOf(policy), signal, onProgress }),
    )
    onEvent({ type: 'reading', side, done: 1, total: 1, at: watch.ms, held: heldIn(cache) })
    const recorder = record ? new HistoryRecorder(cache) : undefined
    recorder?.look()
    return { cache, recorder, readMs: watch.ms }
  } catch (error) {
    await cache.dispose()
    throw error
  }
}

/** Tells how far a prompt is, not too often. */
export function progressEvents(
  cache: KvCache,
  watch: Stopwatch,
  side: Side,
  onEvent: (event: EngineEvent) => void,
): (progress: { done: number; total: number }) => void {
  let last = -Infinity
  return ({ done, total }) => {
    if (watch.ms - last < BETWEEN) return
    last = watch.ms
    onEvent({ type: 'reading', side, done, total, at: watch.ms, held: heldIn(cache) })
  }
}
