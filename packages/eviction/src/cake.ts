import {
  budgetParam,
  defineMethod,
  observed,
  protectRecent,
  type Budgeter,
  type BudgetSize,
  type Method,
  type Observation,
  type Scorer,
} from '@kvfold/kv-core'
import { z } from 'zod'
import { adjustBudgets } from './cake-budgets.ts'
import { lastQueries } from './last-queries.ts'
import { averagePool } from './pool.ts'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  window: z.ZodDefault<z.ZodNumber>
  gamma: z.ZodDefault<z.ZodNumber>
  tau1: z.ZodDefault<z.ZodNumber>
  tau2: z.ZodDefault<z.ZodNumber>
}> = z.object({
  budget: budgetParam.optional(),
  window: z.number().int().min(2).default(32).describe('queries at the end of the prompt that are looked at; their rows always stay'),
  gamma: z.number().min(0).default(200).describe("weight of the variance of a row's attention against its mean"),
  tau1: z.number().positive().default(1).describe('temperature of the dispersion in space'),
  tau2: z.number().positive().default(1).describe('temperature of the shift in time'),
})

const KERNEL = 5

/**
 * CAKE: Cascading and Adaptive KV Cache Eviction with Layer Preferences (arXiv 2503.12491). Layers share one budget by preference
 * H^(1/tau1) * V^(1/tau2), over all query heads of the layer, the last `window` queries and the rows before the window: H sums
 * -a ln a, V the variance of a over the window. After each layer of the prompt the layers so far share anew, and earlier ones are
 * cut again on their stored scores. The bundled score (replaced by any other preset's) is mean + gamma * variance over the window,
 * pooled over 5 rows, averaged over the group; the window stays. At decode it is the step's attention, pooled and averaged alike.
 *
 * Defaults: window 32, gamma 200, 1024 rows on average, tau 1 (the authors tune tau per model). The budget counts the window.
 * Layers get budget - window rows each on average by preference, on top of their window; a budget within the window is shared
 * equally, and so is one that the whole prompt fits in. The sum never exceeds layers * budget.
 *
 * Paper and code: notes on the paper print exponents tau, the code uses 1/tau: so do we. The code does not cut prompts of up to
 * budget + window tokens until the first step; we keep to the budget. Its rows lie in order of score, so that pooling at decode
 * mixes rows that are no neighbours in the text; ours lie in order of the text.
 */
export const cake: Method<typeof params> = defineMethod({
  name: 'cake',
  axes: ['budget'],
  paper: {
    title: 'CAKE: Cascading and Adaptive KV Cache Eviction with Layer Preferences',
    arxiv: '2503.12491',
    year: 2025,
  },
  summary: 'Layers share one budget by how spread out and how unsteady their attention is.',
  params,
  create: ({ budget = { tokens: 1024 }, window, gamma, tau1, tau2 }) => ({
    budget: byPreference(budget, window, tau1, tau2),
    fallback: { score: indicator(window, gamma) },
  }),
})

function byPreference(size: BudgetSize, window: number, tau1: number, tau2: number): Budgeter {
  return {
    size,
    needs: { windowAttention: window },
    when: 'cascade',
    measure(heads) {
      let dispersion = 0
      let shift = 0
      for (const { seen, head } of heads) {
        const { data, window: queries } = lastQueries(seen, 'cake', window, head.rows)
        const { variance } = moments(seen, head.rows, window)
        for (const v of variance) shift += v
        for (let row = 0; row < data.length; row += head.rows) {
          for (let j = row, end = row + head.rows - queries; j < end; j++) dispersion -= data[j] * Math.log(data[j] + 1e-10)
        }
      }
      return Math.max(0, dispersion) ** (1 / tau1) * shift ** (1 / tau2)
    },
    allocate(seen, { rows, layers, kvHeads }) {
      const longest = Math.max(...seen.map((layer) => Math.max(...layer.rows)))
      if (longest <= rows || rows <= window) return seen.map(() => Array.from({ length: kvHeads }, () => rows))
      const total = (rows - window) * layers
      const most = longest - window
      // A layer that cannot be measured (no variance, NaN) prefers nothing; if none can be, they are all alike.
      const preferences = seen.map(({ measure }) => (measure > 0 ? measure : 0))
      const sum = preferences.reduce((a, b) => a + b, 0)
      const shares = preferences.map((p) => (sum > 0 && sum < Infinity ? p / sum : 1 / seen.length) * total)
      return adjustBudgets(shares, total, most).map((own) => Array.from({ length: kvHeads }, () => window + Math.min(own, most)))
    },
  }
}

function indicator(window: number, gamma: number): Scorer {
  return {
    needs: { windowAttention: window, stepAttention: true },
    moments: ['prefill', 'decode'],
    score(seen, { rows }) {
      const scores = new Float32Array(rows)
      if (seen.moment === 'decode') {
        const step = observed(seen.stepAttention, 'cake', 'stepAttention')
        const mean = new Float64Array(Math.max(0, rows - window))
        for (let g = 0; g < seen.group; g++) for (let j = 0; j < mean.length; j++) mean[j] += step[g * rows + j] / seen.group
        scores.set(averagePool(mean, KERNEL))
        return protectRecent(scores, window)
      }
      const { mean, variance } = moments(seen, rows, window)
      // Pooling is linear, so the group may be averaged first.
      for (let j = 0; j < mean.length; j++) mean[j] = (mean[j] + gamma * variance[j]) / seen.group
      scores.set(averagePool(mean, KERNEL))
      return protectRecent(scores, rows - mean.length)
    },
  }
}

/** Mean and unbiased variance of each earlier row's attention over the window's queries, both summed over the group. */
function moments(seen: Observation, rows: number, asked: number): { mean: Float64Array; variance: Float64Array } {
  const { data, window } = lastQueries(seen, 'cake', asked, rows)
  const prefix = rows - window
  const mean = new Float64Array(prefix)
  const variance = new Float64Array(prefix)
  const own = new Float64Array(prefix)
  for (let g = 0; g < seen.group; g++) {
    own.fill(0)
    for (let i = 0, row = g * window * rows; i < window; i++, row += rows) {
      for (let j = 0; j < prefix; j++) own[j] += data[row + j] / window
    }
    // The variance of a single query is undefined: it counts as 0.
    for (let i = 0, row = g * window * rows; i < window && window > 1; i++, row += rows) {
      for (let j = 0; j < prefix; j++) variance[j] += (data[row + j] - own[j]) ** 2 / (window - 1)
    }
    for (let j = 0; j < prefix; j++) mean[j] += own[j]
  }
  return { mean, variance }
}
