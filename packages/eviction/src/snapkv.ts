import { budgetParam, defineMethod, protectRecent, uniform, type Method, type Scorer } from '@kvfold/kv-core'
import { z } from 'zod'
import { lastQueries } from './last-queries.ts'
import { averagePool, maxPool } from './pool.ts'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  window: z.ZodDefault<z.ZodNumber>
  kernel: z.ZodDefault<z.ZodNumber>
  pooling: z.ZodDefault<z.ZodLiteral<'avg' | 'max'>>
  group: z.ZodDefault<z.ZodLiteral<'mean' | 'max'>>
}> = z.object({
  budget: budgetParam.optional(),
  window: z.number().int().min(1).default(32).describe('queries at the end of the prompt that vote; their rows always stay'),
  kernel: z
    .number()
    .int()
    .min(1)
    .refine((k) => k % 2 === 1, 'must be odd')
    .default(5)
    .describe('width of the pooling over rows, odd; 1: none'),
  pooling: z.literal(['avg', 'max']).default('avg').describe('how neighbouring votes are smoothed'),
  group: z.literal(['mean', 'max']).default('mean').describe('how the votes of the query heads of one KV head become one'),
})

/**
 * SnapKV: LLM Knows What You are Looking for Before Generation (arXiv 2404.14469). At the end of a prompt its last `window`
 * queries vote: attention [group][window][rows], softmax over all rows, is summed over the window for each older row, reduced over
 * the group, pooled over rows, and the highest sums stay together with the window. Generated rows are never evicted.
 *
 * Defaults: window 32, kernel 5, average pooling, 2048 rows: what the official code fills in where a model sets nothing. Its
 * LongBench runs use kernel 7 and max pooling. The budget counts the window; one that is smaller keeps the newest rows of it. A
 * prompt shorter than the window keeps every row that the budget allows.
 *
 * Paper and code: the paper keeps a share of the prefix, the code an absolute capacity; both are budgets here. The official code
 * repeats KV heads first, so each query head keeps rows of its own in a cache `group` times as large. Here a KV head keeps one set
 * (as KVCache-Factory's kv_head mode and Ada-KV): the group is reduced before the pooling. Rows stay in their order, not by score.
 */
export const snapkv: Method<typeof params> = defineMethod({
  name: 'snapkv',
  axes: ['budget', 'score'],
  paper: { title: 'SnapKV: LLM Knows What You are Looking for Before Generation', arxiv: '2404.14469', year: 2024 },
  summary: "The prompt's last queries vote on which older rows stay.",
  params,
  create: ({ budget, ...options }) => ({
    score: voting(options),
    ...(budget ? { budget: uniform(budget) } : { fallback: { budget: uniform({ tokens: 2048 }) } }),
  }),
})

type Options = Omit<z.output<typeof params>, 'budget'>

function voting(options: Options): Scorer {
  const pool = options.pooling === 'avg' ? averagePool : maxPool
  return {
    needs: { windowAttention: options.window },
    score(seen, { rows }) {
      const { data, window } = lastQueries(seen, 'snapkv', options.window, rows)
      const votes = countVotes(data, seen.group, window, rows, options.group)
      const scores = new Float32Array(rows)
      scores.set(pool(votes, options.kernel))
      return protectRecent(scores, window)
    },
  }
}

/** Votes for the rows before the window: its own columns take part in the softmax, then they are cut. */
function countVotes(data: Float32Array, group: number, window: number, rows: number, how: 'mean' | 'max'): Float64Array {
  const prefix = rows - window
  const votes = new Float64Array(prefix)
  const own = how === 'max' ? new Float64Array(prefix) : votes
  for (let g = 0; g < group; g++) {
    if (how === 'max') own.fill(0)
    for (let i = 0; i < window; i++) {
      const row = (g * window + i) * rows
      for (let j = 0; j < prefix; j++) own[j] += data[row + j]
    }
    if (how === 'max') for (let j = 0; j < prefix; j++) votes[j] = Math.max(votes[j], own[j])
  }
  if (how === 'mean') for (let j = 0; j < prefix; j++) votes[j] /= group
  return votes
}
