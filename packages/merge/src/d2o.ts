import { budgetParam, defineMethod, heavyAndRecent, type Folder, type FoldPlan, type Leaving, type Method } from '@kvfold/kv-core'
import { z } from 'zod'
import { byDensity } from './density.ts'
import { heavyHitters } from './heavy-hitters.ts'
import { nearest, type Nearest } from './nearest.ts'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  recent: z.ZodDefault<z.ZodNumber>
  sinks: z.ZodDefault<z.ZodNumber>
  form: z.ZodDefault<z.ZodLiteral<'paper' | 'code'>>
  beta: z.ZodOptional<z.ZodNumber>
}> = z.object({
  budget: budgetParam.optional(),
  recent: z.number().min(0).max(1).default(0.5).describe("share of a layer's rows for the newest ones"),
  sinks: z.number().int().min(0).default(4).describe('first tokens that always stay'),
  form: z.literal(['paper', 'code']).default('paper').describe('threshold and weights as the paper or as its code has them'),
  beta: z.number().min(0).max(1).optional().describe('weight of the newest similarity in the threshold; default 0.7 (paper), 0.5 (code)'),
})

/**
 * D2O: Dynamic Discriminative Operations for Efficient Long-Context Inference of Large Language Models (arXiv 2406.13035). A row
 * that leaves goes into the kept row whose key [headDim] is nearest by cosine u, if u reaches the layer's threshold tau; else it is
 * dropped. First tau = mean of u over all leaving rows of the layer, then tau = beta * max(u) + (1 - beta) * tau, before the test.
 * Rows merged into j share one sum Z = e + sum exp(u_i): j keeps e / Z of itself and takes exp(u_i) / Z of row i; keys and values
 * alike. Merged keys keep the rotation of j. Packed rows take nothing.
 *
 * Bundled with it (replaced by any other preset's): accumulated attention with 4 sinks, half heavy and half recent rows, leaving at
 * the prompt's end and after every step; and layer budgets by density (`byDensity`), 20 % of the tokens seen when a prompt
 * ends. Their sum never exceeds layers * budget: the official floor of 1 % of the prompt a layer, which would, is one row here.
 *
 * Reconstruction: the paper's text was not at hand. Its threshold, weights and beta are known from another implementation that cites
 * the equations; tau is one number per layer, as in the code. `form: 'code'` is the official code, which differs: tau = 0.5 * mean(u)
 * + 0.5 * tau; the test takes u averaged over the heads, for the i-th leaving row of each; k_j = (k_j + sum u_i k_i) / (1 + count),
 * which shortens keys. The code also cuts at the first step, never cuts layers 0, 1 and the last, and repeats KV heads first.
 */
export const d2o: Method<typeof params> = defineMethod({
  name: 'd2o',
  axes: ['fold', 'budget'],
  paper: {
    title: 'D2O: Dynamic Discriminative Operations for Efficient Long-Context Inference of Large Language Models',
    arxiv: '2406.13035',
    year: 2024,
  },
  summary: 'Rows that leave are merged into the kept row with the nearest key, if it is near enough.',
  params,
  create: ({ budget, recent, sinks, form, beta = form === 'paper' ? 0.7 : 0.5 }) => ({
    fold: discriminative(form, beta),
    ...(budget ? { budget: byDensity(budget) } : {}),
    fallback: {
      score: heavyHitters(sinks),
      select: heavyAndRecent(recent),
      ...(budget ? {} : { budget: byDensity({ ratio: 0.2 }) }),
    },
  }),
})

function discriminative(form: 'paper' | 'code', beta: number): Folder {
  const weights = form === 'paper' ? convexWeights : meanWeights
  return {
    needs: { keys: true },
    fold(heads, state) {
      const found = heads.map(findNearest)
      const all = found.flatMap((near) => (near ? [near.similarity] : []))
      if (all.length === 0) return heads.map(() => undefined)
      const last: number | undefined = state['tau']
      const newest = last === undefined || form === 'code' ? mean(all) : max(all)
      const tau = last === undefined ? newest : beta * newest + (1 - beta) * last
      state['tau'] = tau
      const shared = form === 'code' ? meanByRank(all) : undefined
      return found.map((near, h) => near && foldPlan(heads[h], near, shared ?? near.similarity, tau, weights))
    },
  }
}

function findNearest({ kept, left, head }: Leaving): Nearest | undefined {
  const targets = kept.filter((row) => head.foldable(row))
  if (left.length === 0 || targets.length === 0) return undefined
  return nearest(head, left, targets)
}

/** Weight of row i in its kept row: `own` is what the kept row has, `row` what a merged one has, before division by their sum. */
interface Weights {
  own: number
  row(similarity: number): number
  divisor(similarity: number): number
}

const convexWeights: Weights = { own: Math.E, row: Math.exp, divisor: Math.exp }
const meanWeights: Weights = { own: 1, row: (u) => u, divisor: () => 1 }

function foldPlan(leaving: Leaving, near: Nearest, test: Float32Array, tau: number, weights: Weights): FoldPlan | undefined {
  const merged = [...leaving.left.keys()].filter((i) => test[i] >= tau)
  if (merged.length === 0) return undefined
  const sums = new Float64Array(leaving.head.rows)
  for (const i of merged) sums[near.into[i]] += weights.divisor(near.similarity[i])
  const owners = leaving.kept.filter((row) => sums[row] !== 0)
  const count = owners.length + merged.length
  const plan = { from: new Uint32Array(count), into: new Uint32Array(count), weights: new Float32Array(count) }
  owners.forEach((row, at) => {
    plan.from[at] = plan.into[at] = row
    plan.weights[at] = weights.own / (weights.own + sums[row])
  })
  merged.forEach((i, at) => {
    plan.from[owners.length + at] = leaving.left[i]
    plan.into[owners.length + at] = near.into[i]
    plan.weights[owners.length + at] = weights.row(near.similarity[i]) / (weights.own + sums[near.into[i]])
  })
  return plan
}

function mean(all: Float32Array[]): number {
  let sum = 0
  let count = 0
  for (const list of all) {
    for (const value of list) sum += value
    count += list.length
  }
  return sum / count
}

function max(all: Float32Array[]): number {
  return all.reduce((most, list) => list.reduce((a, b) => Math.max(a, b), most), -Infinity)
}

/** The mean over heads of their i-th value; a head with fewer values takes no part in the later ones. */
function meanByRank(all: Float32Array[]): Float32Array {
  return Float32Array.from({ length: Math.max(...all.map((list) => list.length)) }, (_, i) =>
    mean(all.map((list) => list.subarray(i, i + 1))),
  )
}
