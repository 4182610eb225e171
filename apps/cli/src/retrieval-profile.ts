import { razorattention, retrievalHeads, retrievalScore, type AttentionRow, type HeadScore, type RetrievalShares } from '@kvfold/eviction'
import { compose, createRandom, KvCache, uniform, type HeadView, type Scorer } from '@kvfold/kv-core'
import type { Loaded } from './load.ts'

/** Copies of the block that the model reads, after its first token. */
export const COPIES = 4
/** Queries whose attention is looked at, of all that have an earlier copy: evenly spaced. */
export const SAMPLED = 1024
/** Queries whose logits are held at once. */
const SLICE = 16

/** What was seen of a KV head: its best query head's scores. */
export interface ProfiledHead extends HeadScore {
  layer: number
  head: number
  retrieval: boolean
}

export interface RetrievalProfile {
  /** In the order of layers and heads. */
  heads: ProfiledHead[]
  /** RazorAttention with the heads that were found, as policy text. */
  policy: string
}

export interface ProfileOptions extends RetrievalShares {
  block: number
  seed: number
  onProgress?: (progress: { done: number; total: number }) => void
}

/** Lets a model read a block of random tokens four times over, and finds the heads that look at the earlier copies. */
export async function retrievalProfile(loaded: Loaded, { block, seed, onProgress, ...shares }: ProfileOptions): Promise<RetrievalProfile> {
  const { model, kernels } = loaded
  const scores: HeadScore[][] = Array.from({ length: model.shape.layers }, () => [])
  const preset = { method: 'heads', text: 'heads', score: scorer(block, scores), budget: uniform({ ratio: 1 }) }
  const cache = new KvCache(model.shape, { policy: compose(preset), kernels, model })
  try {
    await model.forward(prompt(loaded, block, seed), cache, { logits: 'none', onProgress })
  } finally {
    await cache.dispose()
  }
  const { kvHeads } = model.shape
  const found = retrievalHeads(scores, kvHeads, shares)
  const heads = scores.flatMap((queryHeads, layer) => {
    const group = queryHeads.length / kvHeads
    return Array.from({ length: kvHeads }, (_, head): ProfiledHead => {
      const own = queryHeads.slice(head * group, (head + 1) * group)
      return {
        layer,
        head,
        echo: Math.max(...own.map(({ echo }) => echo)),
        induction: Math.max(...own.map(({ induction }) => induction)),
        retrieval: found.some((one) => one.layer === layer && one.head === head),
      }
    })
  })
  return { heads, policy: razorattention({ heads: found.map(({ layer, head }) => `${layer}.${head}`).join(' ') }).text }
}

/** The first token, then the block over and over: ordinary tokens, drawn alike. */
function prompt({ model, tokenizer }: Loaded, block: number, seed: number): number[] {
  const known = Array.from({ length: model.vocabulary }, (_, id) => id).filter((id) => tokenizer.content(id) !== undefined)
  const first = model.config.bos ?? known.findLast((id) => tokenizer.isSpecial(id)) ?? known[0]
  const ordinary = known.filter((id) => !tokenizer.isSpecial(id))
  const random = createRandom(seed)
  const drawn = Array.from({ length: block }, () => ordinary[Math.floor(random() * ordinary.length)])
  return [first, ...Array.from({ length: COPIES }, () => drawn).flat()]
}

/** Keeps every row, and writes [layer][queryHead]. */
function scorer(block: number, scores: HeadScore[][]): Scorer {
  const places = spaced(block, COPIES * block, SAMPLED)
  return {
    needs: { queries: true, keys: true },
    score({ group, queries }, head) {
      const { data, count } = queries!
      for (let g = 0; g < group; g++) {
        const own = data.subarray(g * count * head.headDim, (g + 1) * count * head.headDim)
        scores[head.layer].push(retrievalScore(causalRows(own, head, places), block))
      }
      return new Float32Array(head.rows)
    },
  }
}

/** Whole numbers from `from` to before `to`, evenly spaced: all of them, or `most`. */
function spaced(from: number, to: number, most: number): number[] {
  const count = Math.min(most, to - from)
  return Array.from({ length: count }, (_, i) => from + Math.floor((i * (to - from)) / count))
}

/**
 * Causal attention of one query head that reads every row of `head`, at some places of the text after the first token: a softmax over the
 * first token too, whose row and column are then cut off. `queries` is [rows][headDim]. A row is good until the next is asked for.
 */
export function* causalRows(
  queries: Float32Array,
  head: Pick<HeadView, 'rows' | 'headDim' | 'logits'>,
  places: readonly number[],
): Generator<AttentionRow> {
  const { rows, headDim } = head
  const slice = new Float32Array(SLICE * headDim)
  const weights = new Float64Array(rows)
  for (let start = 0; start < places.length; start += SLICE) {
    const some = places.slice(start, start + SLICE)
    for (const [i, index] of some.entries()) slice.set(queries.subarray((index + 1) * headDim, (index + 2) * headDim), i * headDim)
    const logits = head.logits(slice, some.length)
    for (const [i, index] of some.entries()) {
      softmax(logits.subarray(i * rows, i * rows + index + 2), weights)
      yield { index, attention: weights.subarray(1, index + 2) }
    }
  }
}

function softmax(logits: Float32Array, into: Float64Array): void {
  let most = -Infinity
  for (let j = 0; j < logits.length; j++) if (logits[j] > most) most = logits[j]
  let sum = 0
  for (let j = 0; j < logits.length; j++) sum += into[j] = Math.exp(logits[j] - most)
  for (let j = 0; j < logits.length; j++) into[j] /= sum
}
