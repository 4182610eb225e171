import { budgetParam, defineMethod, uniform, type Method } from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject<{ budget: z.ZodOptional<typeof budgetParam> }> = z.object({ budget: budgetParam.optional() })

/**
 * A Simple and Effective L2 Norm-Based Strategy for KV Cache Compression (arXiv 2406.11430): at the end of a prompt the rows with the
 * smallest keys stay, score = -||k||. Rotation does not change a norm. Looks at no query, and protects nothing.
 *
 * Default: half of the tokens seen. On models that normalise their keys (Qwen3) norms are nearly equal, and the choice means little.
 * KVCache-Factory leaves the first two layers alone; kvpress, and this, do not.
 */
export const knorm: Method<typeof params> = defineMethod({
  name: 'knorm',
  axes: ['budget', 'score'],
  paper: { title: 'A Simple and Effective L2 Norm-Based Strategy for KV Cache Compression', arxiv: '2406.11430', year: 2024 },
  summary: 'Rows with small keys stay.',
  params,
  create: ({ budget }) => ({
    score: {
      needs: { keys: true },
      score(_seen, head) {
        const { rows, headDim } = head
        const keys = head.keys()
        const scores = new Float32Array(rows)
        for (let row = 0; row < rows; row++) {
          let squares = 0
          for (let c = row * headDim; c < (row + 1) * headDim; c++) squares += keys[c] * keys[c]
          scores[row] = -Math.sqrt(squares)
        }
        return scores
      },
    },
    ...(budget ? { budget: uniform(budget) } : { fallback: { budget: uniform({ ratio: 0.5 }) } }),
  }),
})
