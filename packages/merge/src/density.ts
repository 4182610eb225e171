import {
  budgetParam,
  defineMethod,
  heavyAndRecent,
  observed,
  type Budgeter,
  type BudgetSize,
  type HeadView,
  type Method,
  type Observation,
} from '@kvfold/kv-core'
import { z } from 'zod'
import { heavyHitters } from './heavy-hitters.ts'

const params: z.ZodObject<{ budget: z.ZodOptional<typeof budgetParam> }> = z.object({ budget: budgetParam.optional() })

/**
 * D2O's layer budgets alone (arXiv 2406.13035), over any scorer: layers whose attention is spread out get more rows. Brings D2O's scores and
 * selection along (accumulated attention, 4 sinks, half heavy and half recent) unless other presets decide them. Default: 20 % of the tokens seen.
 */
export const density: Method<typeof params> = defineMethod({
  name: 'density',
  axes: ['budget'],
  paper: {
    title: 'D2O: Dynamic Discriminative Operations for Efficient Long-Context Inference of Large Language Models',
    arxiv: '2406.13035',
    year: 2024,
  },
  summary: 'Layers whose attention is spread out get more rows: the budgets of D2O alone.',
  params,
  create: ({ budget = { ratio: 0.2 } }) => ({
    budget: byDensity(budget),
    fallback: { score: heavyHitters(4), select: heavyAndRecent(0.5) },
  }),
})

/**
 * D2O's layer budgets: layer l gets softmax(-F)_l * layers * rows; all get `rows` if the whole prompt fits in that. F is a layer's
 * density in 0..1: the unbiased variance over rows of the prompt's column sums, per query head, scaled to 0..1 across the layer's
 * heads, averaged. So no layer gets less than rows / e, and rounding down keeps the sum within layers * rows.
 */
export function byDensity(size: BudgetSize): Budgeter {
  return {
    size,
    needs: { columnSums: true },
    when: 'model',
    measure: densityOf,
    allocate(seen, { rows, layers, kvHeads }) {
      const fits = seen.every((layer) => layer.rows.every((held) => held <= rows))
      // Two rows are too few to share: some layer would get none.
      if (fits || rows < 3) return seen.map(() => Array.from({ length: kvHeads }, () => rows))
      const weights = seen.map(({ measure }) => Math.exp(-Math.min(1, Math.max(0, measure || 0))))
      const sum = weights.reduce((a, b) => a + b, 0)
      return weights.map((weight) => {
        // A rounding error below a whole number counts as that number.
        const share = Math.floor((weight / sum) * layers * rows + 1e-9)
        return Array.from({ length: kvHeads }, () => share)
      })
    },
  }
}

function densityOf(heads: readonly { seen: Observation; head: HeadView }[]): number {
  const variances = heads.flatMap(({ seen, head: { rows } }) => {
    const sums = observed(seen.columnSums, 'd2o', 'columnSums')
    return Array.from({ length: seen.group }, (_, g) => variance(sums.subarray(g * rows, (g + 1) * rows)))
  })
  const least = Math.min(...variances)
  const span = Math.max(...variances) - least + 1e-6
  return variances.reduce((sum, v) => sum + (v - least) / span, 0) / variances.length
}

function variance(values: Float32Array): number {
  if (values.length < 2) return 0
  let mean = 0
  for (const value of values) mean += value / values.length
  let sum = 0
  for (const value of values) sum += (value - mean) ** 2
  return sum / (values.length - 1)
}
