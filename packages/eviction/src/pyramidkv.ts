import { budgetParam, defineMethod, type Budgeter, type BudgetSize, type Method } from '@kvfold/kv-core'
import { z } from 'zod'
import { snapkv } from './snapkv.ts'

const params: z.ZodObject<{
  budget: z.ZodOptional<typeof budgetParam>
  window: z.ZodDefault<z.ZodNumber>
  beta: z.ZodDefault<z.ZodNumber>
}> = z.object({
  budget: budgetParam.optional(),
  window: z.number().int().min(1).default(32).describe('newest rows that every layer keeps; part of the budget'),
  beta: z.number().min(1).default(20).describe('how pointed the pyramid is: the last layer gets 1/beta of the mean'),
})

/**
 * PyramidKV: Dynamic KV Cache Compression based on Pyramidal Information Funneling (arXiv 2406.02069): lower layers keep more rows than
 * higher ones, falling evenly from the first layer to the last. The budget is the mean over layers. Brings SnapKV's scores along (same
 * window, kernel 5, average pooling) unless another preset decides them.
 *
 * With base = budget - window, beyond the window the last layer keeps floor(base / beta), the first 2 base less that, and the
 * layers between fall by even steps; a prompt shorter than 2 base is cut evenly. Defaults: 2048 rows, window 32, beta 20, as the authors'
 * code (KVCache-Factory c97f9d7).
 *
 * The authors' code floors the step, so its layers together keep more than the budget (63, 43, 23 and 3 rows where 128 are meant). A budget
 * here is held: steps are rounded in pairs (63, 42, 22 and 1).
 */
export const pyramidkv: Method<typeof params> = defineMethod({
  name: 'pyramidkv',
  axes: ['budget'],
  paper: { title: 'PyramidKV: Dynamic KV Cache Compression based on Pyramidal Information Funneling', arxiv: '2406.02069', year: 2024 },
  summary: 'Lower layers keep more rows than higher ones.',
  params,
  create: ({ budget, window, beta }) => {
    const { score } = snapkv({ window })
    return { budget: pyramid(budget ?? { tokens: 2048 }, window, beta), fallback: { score } }
  },
})

function pyramid(size: BudgetSize, window: number, beta: number): Budgeter {
  return {
    size,
    allocate: (seen, { rows, layers, kvHeads, seen: tokens }) =>
      seen.map(({ layer }) => Array.from({ length: kvHeads }, () => pyramidRows(layer, layers, rows, tokens, window, beta))),
  }
}

/** Rows of one layer. */
export function pyramidRows(layer: number, layers: number, rows: number, tokens: number, window: number, beta: number): number {
  const base = rows - window
  if (tokens < rows || base <= 0 || tokens < 2 * base || layers === 1) return rows
  let least = Math.floor(base / beta)
  let most = 2 * base - least
  if (most >= tokens - window) {
    most = tokens - window
    least = 2 * base - most
  }
  // Layers pair up around the middle: what one of a pair has more than the mean, the other has less.
  const upper = Math.min(layer, layers - 1 - layer)
  const share = Math.round(most - (upper * (most - least)) / (layers - 1))
  return window + (layer === upper ? share : 2 * base - share)
}
