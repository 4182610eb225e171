import { budgetParam, defineMethod, observed, protectRecent, uniform, type Method, type Scorer } from '@kvfold/kv-core'
import { z } from 'zod'
import { lastQueries } from './last-queries.ts'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  window: z.ZodDefault<z.ZodNumber>
  alpha: z.ZodDefault<z.ZodNumber>
}> = z.object({
  budget: budgetParam.optional(),
  window: z.number().int().min(1).default(128).describe('decode steps from one cut to the next; the newest rows, as many, always stay'),
  alpha: z.number().gt(0).max(1).default(1e-4).describe('attention from which a row counts as active'),
})

/**
 * LazyEviction: Lagged KV Eviction with Attention Pattern Observation for Efficient Long Reasoning (arXiv 2506.15969). A row that is quiet
 * for a moment may be looked at again, so rows leave only after every `window` decode steps, and they are judged by their silences. Each
 * row knows the step at which it was last active, attention >= `alpha` (column TS), and the longest gap between two such steps (column
 * MRI). After step t, with d = t - TS and s the logistic function, its score is 2 s(-1 - d / (MRI + 1e-5)) + 2 s(1 - MRI): the second part
 * is 0 while MRI = 0, and then so is the first, in effect. The newest `window` rows stay. Between two cuts a head grows to budget + window
 * - 1 rows. `trigger(every=...)` replaces the lag and leaves the window.
 *
 * Defaults: window 128 and alpha 1e-4, the fallbacks of the authors' code, and 1024 rows (their scripts: 1334 and 1492). The paper takes
 * the window from the gaps of a sample of the task, their 80th percentile: 27 to 363 steps in its tables.
 *
 * Paper and code: the first part is the code's, whose -1 the paper does not print; of the second the paper's form is not known for
 * certain.
 *
 * Deviations. The code's KV heads are repeated, so that each query head has rows of its own; here a KV head has one set, and a row is
 * active when the most attentive query head of the group says so. The code keeps a prompt whole until the first cut, however long; here a
 * budget holds when a prompt ends. For that cut only, the prompt's last `window` queries count as steps, by the same rule; whatever stays
 * then starts the way the code's prompt does, with MRI 0 and TS the prompt's end, also when a later prompt follows. Steps are counted in
 * tokens of the sequence, exact in float32 up to 16 million (the code's float16 is exact up to 2048).
 */
export const lazyeviction: Method<typeof params> = defineMethod({
  name: 'lazyeviction',
  axes: ['budget', 'score'],
  paper: {
    title: 'LazyEviction: Lagged KV Eviction with Attention Pattern Observation for Efficient Long Reasoning',
    arxiv: '2506.15969',
    year: 2025,
  },
  summary: 'Every few steps, rows leave that have been silent for longer than they ever were.',
  params,
  create: ({ budget, window, alpha }) => ({
    score: recurrence(window, alpha),
    ...(budget && { budget: uniform(budget) }),
    fallback: { budget: uniform({ tokens: 1024 }), trigger: { every: window } },
  }),
})

const TS = 'TS'
const MRI = 'MRI'

/** When each row was last active, and its longest silence between two activities. */
interface Activity {
  last: Float32Array
  longest: Float32Array
}

function recurrence(window: number, alpha: number): Scorer {
  return {
    needs: { windowAttention: window, stepAttention: true },
    moments: ['prefill', 'decode'],
    columns: [
      { name: TS, initial: 0 },
      { name: MRI, initial: 0 },
    ],
    score(seen, head) {
      const { rows, seen: now } = head
      const activity = { last: head.column(TS), longest: head.column(MRI) }
      if (seen.moment === 'decode') {
        // The new row comes last. It counts from the step before its own.
        activity.last[rows - 1] = now - 1
        observe(activity, observed(seen.stepAttention, 'lazyeviction', 'stepAttention'), seen.group, rows, 0, now, alpha)
        return protectRecent(importance(activity, now), window)
      }
      const queries = lastQueries(seen, 'lazyeviction', window, rows)
      const scores = importance(replay(queries.data, queries.window, seen.group, rows, now, alpha), now)
      activity.last.fill(now)
      activity.longest.fill(0)
      return protectRecent(scores, window)
    },
  }
}

/** The activity after a prompt's last queries, as if they had been steps over the rows before them. */
function replay(attention: Float32Array, window: number, group: number, rows: number, now: number, alpha: number): Activity {
  const start = now - window
  const last = Float32Array.from({ length: rows }, (_, j) => start + Math.max(0, j - (rows - window)))
  const activity = { last, longest: new Float32Array(rows) }
  for (let i = 0; i < window; i++) observe(activity, attention, group, window * rows, i * rows, start + i + 1, alpha)
  return activity
}

/** One step's attention, that of query head g from `g * stride + first` on. A row that does not exist yet has none. */
function observe(
  { last, longest }: Activity,
  attention: Float32Array,
  group: number,
  stride: number,
  first: number,
  now: number,
  alpha: number,
): void {
  for (let j = 0; j < last.length; j++) {
    let most = 0
    for (let g = 0; g < group; g++) most = Math.max(most, attention[g * stride + first + j])
    if (!(most >= alpha)) continue
    longest[j] = Math.max(longest[j], now - last[j])
    last[j] = now
  }
}

function importance({ last, longest }: Activity, now: number): Float32Array {
  return Float32Array.from(last, (step, j) => {
    const silence = 2 / (1 + Math.exp(1 + (now - step) / (longest[j] + 1e-5)))
    return silence + (longest[j] === 0 ? 0 : 2 / (1 + Math.exp(longest[j] - 1)))
  })
}
