import { budgetParam, defineMethod, observed, protectRecent, uniform, type Method, type Scorer } from '@kvfold/kv-core'
import { z } from 'zod'
import { lastQueries } from './last-queries.ts'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  window: z.ZodDefault<z.ZodNumber>
  fuse: z.ZodDefault<z.ZodLiteral<'max' | 'sum'>>
}> = z.object({
  budget: budgetParam.optional(),
  window: z.number().int().min(1).default(32).describe('queries that make the local score; the newest rows, as many, always stay'),
  fuse: z.literal(['max', 'sum']).default('max').describe('how the two scores become one'),
})

/**
 * EMS-style eviction, reconstructed: not the method of "EMS: Adaptive Evict-then-Merge Strategy for Head-wise KV Cache Compression Based
 * on Global-Local Importance" (arXiv 2412.08521) but what its abstract and public reviews tell of its score, and only of its evicting half
 * (rows that leave are dropped, unless a fold method joins). Do not report its numbers as EMS.
 *
 * Known: all attention that a row ever received (global; favours old rows, which more queries saw) and what the recent queries gave it
 * (local) are brought to one mean per head and combined; at the prompt's end and at decode; 256 rows in the main table.
 *
 * Reconstructed: local counts the last `window` queries of a prompt (of a shorter follow-up, what was there before fades); the newest
 * `window` rows stay and take no part in the means, so that local' = local * mean(global) / mean(local) over the older rows; the score is
 * the larger of global and local', or their sum. Both live in columns, as the group's mean. At decode, local fades by 1 - 1 / window with
 * every step before the step's attention is added: the mean age of a window, without a ring of its last rows of attention.
 *
 * Defaults: window 32, the larger of the two, 256 rows, which stay as many while tokens are generated.
 */
export const ems: Method<typeof params> = defineMethod({
  name: 'ems',
  axes: ['budget', 'score'],
  paper: {
    title: 'EMS: Adaptive Evict-then-Merge Strategy for Head-wise KV Cache Compression Based on Global-Local Importance',
    arxiv: '2412.08521',
    year: 2024,
  },
  summary: 'Rows stay that collected the most attention, ever or lately. A reconstruction.',
  params,
  create: ({ budget, window, fuse }) => ({
    score: globalLocal(window, fuse),
    ...(budget ? { budget: uniform(budget) } : { fallback: { budget: uniform({ tokens: 256 }) } }),
  }),
})

const GLOBAL = 'global'
const LOCAL = 'local'

function globalLocal(window: number, fuse: 'max' | 'sum'): Scorer {
  const fading = 1 - 1 / window
  return {
    needs: { columnSums: true, windowAttention: window, stepAttention: true },
    moments: ['prefill', 'decode'],
    columns: [
      { name: GLOBAL, initial: 0 },
      { name: LOCAL, initial: 0 },
    ],
    score(seen, head) {
      const { rows } = head
      const global = head.column(GLOBAL)
      const local = head.column(LOCAL)
      if (seen.moment === 'decode') {
        const step = observed(seen.stepAttention, 'ems', 'stepAttention')
        add(global, 1, step, seen.group)
        add(local, fading, step, seen.group)
      } else {
        const queries = lastQueries(seen, 'ems', window, rows)
        add(global, 1, observed(seen.columnSums, 'ems', 'columnSums'), seen.group)
        add(local, queries.window < window ? fading ** queries.window : 0, queries.data, seen.group)
      }
      return protectRecent(fused(global, local, Math.max(0, rows - window), fuse), window)
    },
  }
}

/** Attention of any number of queries for each query head, [group][queries][rows]: its sum over queries, the group's mean. */
function add(sums: Float32Array, fading: number, attention: Float32Array, group: number): void {
  const rows = sums.length
  for (let j = 0; j < rows; j++) {
    let sum = 0
    for (let at = j; at < attention.length; at += rows) sum += attention[at]
    sums[j] = sums[j] * fading + sum / group
  }
}

/** The scores of the first `older` rows, the local ones at the mean of the global ones; 0 for the others. */
function fused(global: Float32Array, local: Float32Array, older: number, fuse: 'max' | 'sum'): Float32Array {
  const total = (sums: Float32Array): number => sums.subarray(0, older).reduce((a, b) => a + b, 0)
  const recent = total(local)
  // Where the recent queries looked at newer rows only, local says nothing.
  const scale = recent > 0 ? total(global) / recent : 0
  const scores = new Float32Array(global.length)
  for (let j = 0; j < older; j++) {
    const aligned = local[j] * scale
    scores[j] = fuse === 'max' ? Math.max(global[j], aligned) : global[j] + aligned
  }
  return scores
}
