import { type BlockList, defineMethod, type Method, type PrefillView } from '@kvfold/kv-core'
import { z } from 'zod'
import { blockList } from './block-list.ts'
import { covered, coveredIndices, lastBlockAttention, meanVectors, pool, rootJsDivergence, softmax, topIndices } from './pooling.ts'

const params: z.ZodObject<{
  gamma: z.ZodDefault<z.ZodNumber>
  tau: z.ZodDefault<z.ZodNumber>
  minBudget: z.ZodDefault<z.ZodNumber>
  maxBudget: z.ZodOptional<z.ZodNumber>
  block: z.ZodDefault<z.ZodLiteral<16 | 32 | 64 | 128>>
}> = z.object({
  gamma: z.number().min(0).default(0.95).describe('share of the attention that the chosen blocks must cover'),
  tau: z.number().min(0).max(1).default(0.1).describe('heads with a smaller divergence choose blocks query by query; 0: none does'),
  minBudget: z.number().int().min(1).default(1024).describe('rows that each query sees at least; shorter prompts are dense'),
  maxBudget: z.number().int().min(1).optional().describe('rows of all columns, and of all diagonals, at most; default: no limit'),
  block: z.literal([16, 32, 64, 128]).default(128).describe('rows and queries of a block'),
})

/** What was found out about one query head, for tests and for the page. */
export interface HeadPattern {
  divergence: number
  queryAware: boolean
  /** Columns and diagonals that reach `gamma`. */
  coverVertical: number
  coverSlash: number
}

/**
 * FlexPrefill: A Context-Aware Sparse Attention Mechanism for Efficient Long-Sequence Inference (arXiv 2502.20766). For every query
 * head, the exact attention of the last `block` queries tells how many columns and diagonals reach `gamma`; those with the most
 * attention, pooled by block, are looked at by all queries. Where block means alone predict that attention (root of the
 * Jensen-Shannon divergence under `tau`), blocks are chosen from the attention of mean queries to mean keys instead. First column and
 * diagonal always stay. Prompts up to max(2 block, minBudget) rows are dense. Softmax runs over exactly the chosen blocks.
 *
 * Reads queries [group][count][headDim], keys [rows][headDim] and the last queries' logits [group][block][rows], once per KV head;
 * scratch is those logits and two numbers per row. Decode is not touched, and nothing is evicted.
 *
 * Defaults: those of the authors' experiment script for Llama 3.1 8B (gamma 0.95, tau 0.1, minBudget 1,024, block 128).
 *
 * Follows the authors' code where the paper differs: line counts are covered lines / 128 + 1 whatever the block size; query-aware
 * heads keep the blocks whose running sum stays under gamma, and also the `minBudget` best columns and diagonals. Deviations: sums
 * in float64; ties go to the older block; a divergence that rounds below 0 counts as 0. Where the chunk is a later part of a prompt
 * (the code knows whole prompts only), the same rules hold with rows counted from the first one; a query block that lies across two
 * row blocks takes the blocks of both. Chunks of fewer than `block` queries are dense.
 */
export const flexprefill: Method<typeof params> = defineMethod({
  name: 'flexprefill',
  axes: ['attention'],
  paper: {
    title: 'FlexPrefill: A Context-Aware Sparse Attention Mechanism for Efficient Long-Sequence Inference',
    arxiv: '2502.20766',
    year: 2025,
  },
  summary: 'Long prompts attend only to the columns, diagonals or blocks that hold most of the attention.',
  params,
  create: (options) => ({ attention: { blocks: (view) => flexPrefillBlocks(view, options) } }),
})

/** The blocks of one KV head's query heads, or undefined for dense. `report` is called once per query head, in order. */
export function flexPrefillBlocks(
  view: PrefillView,
  options: z.output<typeof params>,
  report?: (pattern: HeadPattern) => void,
): BlockList | undefined {
  const { block, gamma, tau, minBudget, maxBudget } = options
  const { group, count, rows, headDim } = view
  const blocks = Math.ceil(rows / block)
  const least = Math.ceil(minBudget / block)
  const most = Math.min(Math.ceil((maxBudget ?? Infinity) / block), blocks)
  if (rows <= Math.max(2 * block, least * block) || count < block) return undefined

  // Queries first: what comes after may move the memory that they are a view of.
  const means = Array.from({ length: group }, (_, head) => {
    const queries = view.queries.subarray(head * count * headDim, (head + 1) * count * headDim)
    const last = queries.subarray((count - block) * headDim)
    return { last: meanVectors(last, block, headDim, block), blocks: meanVectors(queries, count, headDim, block) }
  })
  const logits = view.lastLogits(block)
  const meanKeys = meanVectors(view.keys(), rows, headDim, block)
  const clamp = (lines: number): number => Math.min(most, Math.max(least, lines))
  return blockList({ block, count, rows, group }, (head, chosen) => {
    const last = logits.subarray(head * block * rows, (head + 1) * block * rows)
    const { vertical, slash } = lastBlockAttention(last, block, rows)
    const coverVertical = covered(vertical, gamma)
    const coverSlash = covered(slash, gamma)
    const columns = pool(vertical, block)
    const diagonals = pool(slash, block)

    // Would block means have told as much? Not masked, as in the code: the mean of the last queries over all mean keys.
    const estimate = softmax(products(means[head].last, 0, meanKeys, blocks, headDim))
    const divergence = rootJsDivergence(estimate, columns)
    const queryAware = divergence < tau
    report?.({ divergence, queryAware, coverVertical, coverSlash })

    const lines = (cover: number): number => (queryAware ? Math.min(least, blocks) : clamp(Math.floor(cover / 128) + 1))
    columns[0] = Infinity
    diagonals[blocks - 1] = Infinity
    for (const column of topIndices(columns, lines(coverVertical))) chosen.column(column)
    // Diagonals are stored oldest first: the last one is the main diagonal.
    for (const index of topIndices(diagonals, lines(coverSlash))) chosen.diagonal(blocks - 1 - index)
    if (!queryAware) return

    // One budget over the whole map of mean queries and mean keys: each query block has mass 1.
    const map = new Float64Array(chosen.queryBlocks * blocks)
    for (let r = 0; r < chosen.queryBlocks; r++) {
      map.set(softmax(products(means[head].blocks, r, meanKeys, chosen.lastBlock(r) + 1, headDim)), r * blocks)
    }
    for (const at of coveredIndices(map, gamma * chosen.queryBlocks)) chosen.pair(Math.floor(at / blocks), at % blocks)
  })
}

/** Scaled products of one mean query with the first `count` mean keys. */
function products(queries: Float64Array, query: number, keys: Float64Array, count: number, headDim: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => {
    let sum = 0
    for (let c = 0; c < headDim; c++) sum += queries[query * headDim + c] * keys[i * headDim + c]
    return sum / Math.sqrt(headDim)
  })
}
