import { DEFAULT_CHUNK, type LlamaModel } from '@kvfold/models'
import type { Policy } from '@kvfold/kv-core'

/** Tokens per chunk of a prompt: short, so that others wait for a few hundredths of a second at most. Costs nothing: see README. */
export const CHUNK = 64
/** Rows that pages may have room for beyond those that are there: a page, a copy of one that was shared, and a step of growth. */
const SPARE_ROWS = 136
const FLOAT = 4

/** What a request asks of the memory. */
export interface Demand {
  /** Tokens that the cache it starts from has seen, and the bytes of that cache. */
  seen: number
  held: number
  /** Tokens to be read, and the most that may be made. */
  fresh: number
  made: number
}

/**
 * The most bytes that a request adds to what is held, working memory included, whatever its policy does: its tokens as a full cache, since
 * a policy compresses only what has been read; a copy of what it starts from, if that may be rewritten; and room to work in.
 */
export function mostBytes(model: LlamaModel, policy: Policy, { seen, held, fresh, made }: Demand): number {
  const { layers, kvHeads, headDim } = model.shape
  const columns = Math.max(1, policy.columns.length)
  const rows = fresh + made + SPARE_ROWS
  const row = 2 * headDim * FLOAT + columns * FLOAT * (17 / 16) + 1
  // Forks have columns of their own, and share pages until one of them writes. Without a policy nothing is rewritten but the last page.
  const copied = policy.text === 'full' ? layers * kvHeads * (seen * columns * FLOAT + SPARE_ROWS * 2 * headDim * FLOAT) : held
  const tables = layers * kvHeads * 2 * ((seen + rows) / 4 + 256)
  return Math.ceil(layers * kvHeads * rows * row + copied + tables + workBytes(model, policy, seen + fresh, fresh))
}

/** The most bytes that making `made` more tokens adds, once the prompt has been read. */
export function stepBytes(model: LlamaModel, policy: Policy, seen: number, made: number): number {
  return mostBytes(model, policy, { seen: 0, held: 0, fresh: 0, made }) + workBytes(model, policy, seen, 1)
}

/** Working memory of a forward pass over `fresh` tokens, `rows` rows in all: what is not there any more when it ends. */
function workBytes(model: LlamaModel, policy: Policy, rows: number, fresh: number): number {
  const { queryHeads, kvHeads, headDim } = model.shape
  const { width, vocabulary } = model.config
  const { queries, queryMoments, reconstruction } = policy.needs
  const window = Math.min(policy.needs.windowAttention ?? 0, rows)
  const chunk = Math.min(CHUNK, fresh)
  const isFull = policy.text === 'full'
  // Activations between layers; queries, keys, values and outputs of a chunk, before and after rotation; logits.
  let floats = fresh * width + chunk * (4 * queryHeads + 2 * kvHeads) * headDim + 3 * chunk * headDim + vocabulary
  // A layer's rows while they are scored, laid anew and packed, and what is seen of them.
  if (!isFull) floats += (2 * kvHeads * headDim + 8 * queryHeads) * (rows + SPARE_ROWS) + queryHeads * window * (rows + headDim) * 2
  if (queries || queryMoments !== undefined) floats += 2 * queryHeads * headDim * (fresh + headDim)
  if (reconstruction) floats += (2 * kvHeads * headDim + width + queryHeads * headDim) * DEFAULT_CHUNK
  if (policy.trigger?.chunk) floats += 2 * queryHeads * headDim * Math.min(policy.trigger.chunk, fresh)
  return floats * FLOAT
}
