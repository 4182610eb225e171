import {
  budgetParam,
  defineMethod,
  protectRecent,
  type Budgeter,
  type BudgetSize,
  type HeadView,
  type Method,
  type Observation,
} from '@kvfold/kv-core'
import { z } from 'zod'
import { lastQueries } from './last-queries.ts'
import { wholeChunks } from './whole-chunks.ts'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  strategy: z.ZodDefault<z.ZodLiteral<'max' | 'average'>>
  suffix: z.ZodOptional<z.ZodNumber>
  size: z.ZodDefault<z.ZodNumber>
  group: z.ZodDefault<z.ZodNumber>
}> = z.object({
  budget: budgetParam.optional(),
  strategy: z.literal(['max', 'average']).default('max').describe('max: to find something (questions); average: to use all (summaries)'),
  suffix: z.number().int().min(1).optional().describe('last queries, which look and always stay; default: 32 (max), 16 (average)'),
  size: z.number().int().min(1).default(8).describe('neighbouring rows of a window, which stay or leave together'),
  group: z.number().int().min(1).default(2).describe('neighbouring layers that keep the same rows'),
})

/** How pointed the pyramid over the groups is. */
const BETA = 14

/**
 * WindowKV: Task-Adaptive Group-Wise KV Cache Window Selection for Efficient LLM Inference (arXiv 2503.17922). At the end of a prompt the rows
 * before its last `suffix` tokens are cut into windows of `size`. Attention of the last queries is summed per row; a window scores its mean
 * over all heads (`average`), or the mean of its size / 2 largest (`max`). Whole windows stay, the same in all heads and in all layers of
 * a group: the group's first layer decides. Groups share the budget in a pyramid, the first most (beta 14).
 *
 * Defaults: 2,048 rows on average, windows of 8, strategy max with 32 queries. The code has groups of 8 for 32 layers; 2 is the same for the 8
 * layers of the reference model. Its budget leaves out the suffix, and a short last window can overshoot it; here the budget holds, suffix
 * included. Kept windows lie in order of the text. Attention is observed in every layer, though followers do not look at it.
 *
 * The paper lets a BERT classifier read the strategy off the request; its weights were never published. `taskStrategy` is a small one of ours:
 * `windowkv({ strategy: taskStrategy(question) })`.
 */
export const windowkv: Method<typeof params> = defineMethod({
  name: 'windowkv',
  axes: ['budget', 'score'],
  paper: {
    title: 'WindowKV: Task-Adaptive Group-Wise KV Cache Window Selection for Efficient LLM Inference',
    arxiv: '2503.17922',
    year: 2025,
  },
  summary: 'Whole windows of rows stay, the same in a group of layers.',
  params,
  create: ({ budget, strategy, size, group, suffix = strategy === 'max' ? 32 : 16 }) => {
    const scoreLayer = (seen: readonly Observation[], heads: readonly HeadView[]): Float32Array[] => {
      const { layer, rows, memory } = heads[0]
      const name = `windowkv ${Math.floor(layer / group)}`
      if (layer % group === 0 || memory[name]?.length !== rows) memory[name] = windowScores(seen, heads, strategy, size, suffix)
      return heads.map((head) => (head.rows === rows ? memory[name].slice() : protectRecent(new Float32Array(head.rows), suffix)))
    }
    return {
      budget: pyramidOfGroups(budget ?? { tokens: 2048 }, group, suffix),
      score: { needs: { windowAttention: suffix }, scoreLayer, score: (seen, head) => scoreLayer([seen], [head])[0] },
      fallback: { select: wholeChunks(size) },
    }
  },
})

/** Each row's score is its window's; the suffix is protected. */
function windowScores(
  seen: readonly Observation[],
  heads: readonly HeadView[],
  strategy: 'max' | 'average',
  size: number,
  suffix: number,
): Float32Array {
  const { rows } = heads[0]
  const queries = seen
    .filter((_, h) => heads[h].rows === rows)
    .map((one) => ({ ...lastQueries(one, 'windowkv', suffix, rows), group: one.group }))
  const review = rows - queries[0].window
  const scores = new Float32Array(rows)
  for (const { data, window, group } of queries) {
    for (let g = 0; g < group; g++) {
      const sums = new Float64Array(review)
      for (let i = 0; i < window; i++) for (let j = 0, at = (g * window + i) * rows; j < review; j++, at++) sums[j] += data[at]
      for (let start = 0; start < review; start += size) {
        const own = sums.slice(start, Math.min(review, start + size))
        const counted = strategy === 'average' ? own : own.sort().slice(-Math.max(1, Math.floor(size / 2)))
        const mean = counted.reduce((a, b) => a + b, 0) / counted.length
        for (let row = start; row < start + own.length; row++) scores[row] += mean
      }
    }
  }
  const groups = queries.reduce((sum, { group }) => sum + group, 0)
  for (let row = 0; row < review; row++) scores[row] /= groups
  return protectRecent(scores, rows - review)
}

function pyramidOfGroups(size: BudgetSize, group: number, suffix: number): Budgeter {
  return {
    size,
    allocate: (seen, { rows, layers, kvHeads }) =>
      seen.map(({ layer }) => Array.from({ length: kvHeads }, () => groupRows(Math.floor(layer / group), layers, group, rows, suffix))),
  }
}

/** Rows of a layer in group `index`: the code's pyramid over what is beyond the suffix, the first group rounded down to keep the budget. */
export function groupRows(index: number, layers: number, group: number, rows: number, suffix: number): number {
  const groups = Math.ceil(layers / group)
  const base = rows - suffix
  if (groups === 1 || layers % group !== 0 || base <= 0) return rows
  const last = Math.floor((base * group) / BETA)
  const first = 2 * base - last
  if (last >= first) return rows
  const step = Math.floor((first - last) / (groups - 1))
  const share = (g: number): number => (g === groups - 1 ? last : first - g * step)
  const over = Array.from({ length: groups }, (_, g) => share(g)).reduce((a, b) => a + b, 0) - groups * base
  // Too few rows to make steps of.
  if (over > step) return rows
  return suffix + share(index) - (index === 0 ? Math.max(0, over) : 0)
}
