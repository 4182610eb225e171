import {
  budgetParam,
  defineMethod,
  observed,
  protectRecent,
  topRows,
  uniform,
  type HeadView,
  type Method,
  type Scorer,
  type Selector,
} from '@kvfold/kv-core'
import { z } from 'zod'
import { lastQueries } from './last-queries.ts'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  window: z.ZodDefault<z.ZodNumber>
  recent: z.ZodDefault<z.ZodNumber>
  drop: z.ZodDefault<z.ZodNumber>
}> = z.object({
  budget: budgetParam.optional(),
  window: z.number().int().min(4).default(400).describe('last queries that count'),
  recent: z.number().int().min(0).default(10).describe('newest rows that always stay'),
  drop: z.number().min(0).max(1).default(0.5).describe('share of the budget that leaves at once; 0: a row at a time'),
})

/**
 * Scissorhands: Exploiting the Persistence of Importance Hypothesis for LLM KV Cache Compression at Test Time (arXiv 2305.17118). What was
 * unimportant for the last `window` queries will be for the next ones. A query that gives a row less than 1 / t, t the tokens so far,
 * finds it unimportant; over the budget, the rows that most queries found so leave, half a budget at once, never the newest `recent`. Not
 * the attention counts but how often it was low, so that one spike does not save a row. Of equals the older row leaves.
 *
 * Rows of a head saw-tooth between budget - floor(drop * budget) and the budget: max(floor(drop * budget), rows - budget) leave, when a
 * prompt ends (its last `window` queries count) and then whenever a step goes over.
 *
 * Defaults: window 400, recent 10 and drop 0.5 of all experiments of the paper; half of the tokens seen when a prompt ends: the paper
 * holds accuracy with 15 to 30 %, perplexity down to half. The paper's 4-bit cache is `scissorhands + flexgen`.
 *
 * Choices where the paper has none: the prompt's phase, the order of equals, and grouped queries: each query head of the group counts. The
 * paper gives later layers more, by a formula that it does not print; here all are equal. Where printed pseudo-code contradicts itself (it
 * marks high scores as low ones), this is the reading under which the newest rows are safe.
 *
 * Deviations: counts live in four columns, one for each quarter of the window; a quarter starts anew when its turn comes again, so that
 * the record spans the last 3/4 of the window to all of it. A decode step's threshold is its own 1 / t, as a running record has it; the
 * queries of a prompt share that of its end. There is no code of the authors. KVCache-Factory's method of this name sums the window's
 * attention, as H2O does, and protects sinks: other scores and other rows.
 */
export const scissorhands: Method<typeof params> = defineMethod({
  name: 'scissorhands',
  axes: ['budget', 'score'],
  paper: {
    title: 'Scissorhands: Exploiting the Persistence of Importance Hypothesis for LLM KV Cache Compression at Test Time',
    arxiv: '2305.17118',
    year: 2023,
  },
  summary: 'Rows leave, many at once, that the last queries found unimportant most often.',
  params,
  create: ({ budget, window, recent, drop }) => ({
    score: lowCounts(window, recent),
    ...(budget && { budget: uniform(budget) }),
    fallback: { budget: uniform({ ratio: 0.5 }), select: sawTooth(drop, recent) },
  }),
})

const LOW = ['low0', 'low1', 'low2', 'low3'] as const

function lowCounts(window: number, recent: number): Scorer {
  /** Where query number t (from 1) counts; empty if it is the first of its quarter. */
  const open = (head: HeadView, t: number): Float32Array => {
    const quarter = Math.floor((4 * t) / window)
    const counts = head.column(LOW[quarter % 4])
    return quarter === Math.floor((4 * (t - 1)) / window) ? counts : counts.fill(0)
  }
  return {
    needs: { windowAttention: window, stepAttention: true },
    moments: ['prefill', 'decode'],
    columns: LOW.map((name) => ({ name, initial: 0 })),
    score(seen, head) {
      const { rows, seen: now } = head
      const prompt = seen.moment === 'prefill' ? lastQueries(seen, 'scissorhands', window, rows) : undefined
      const attention = prompt?.data ?? observed(seen.stepAttention, 'scissorhands', 'stepAttention')
      const queries = prompt?.window ?? 1
      const threshold = 1 / now
      for (let i = 0; i < queries; i++) {
        const counts = open(head, now - queries + 1 + i)
        // Later rows did not exist when this query ran: they were not found unimportant.
        const existing = rows - queries + i + 1
        for (let g = 0; g < seen.group; g++) {
          const row = (g * queries + i) * rows
          for (let j = 0; j < existing; j++) counts[j] += attention[row + j] < threshold ? 1 : 0
        }
      }
      const counts = LOW.map((name) => head.column(name))
      return protectRecent(
        Float32Array.from({ length: rows }, (_, j) => 0 - counts[0][j] - counts[1][j] - counts[2][j] - counts[3][j]),
        recent,
      )
    },
  }
}

/** The highest scores, the newer row of a tie; so few that the next rows have room before rows must leave again. */
function sawTooth(drop: number, recent: number): Selector {
  return {
    select(scores, rows) {
      const n = scores.length
      if (n <= rows) return topRows(scores, n)
      const count = Math.max(Math.min(rows, n - Math.floor(drop * rows)), Math.min(rows, recent))
      return topRows(scores.toReversed(), count)
        .map((row) => n - 1 - row)
        .reverse()
    },
  }
}
