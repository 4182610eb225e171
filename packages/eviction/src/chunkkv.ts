import { defineMethod, type Method } from '@kvfold/kv-core'
import { z } from 'zod'
import { snapkv } from './snapkv.ts'
import { wholeChunks } from './whole-chunks.ts'

const params: z.ZodObject<{ size: z.ZodDefault<z.ZodNumber> }> = z.object({
  size: z.number().int().min(1).default(20).describe('neighbouring rows that stay or leave together'),
})

/**
 * ChunkKV: Semantic-Preserving KV Cache Compression for Efficient Long-Context LLM Inference (arXiv 2502.00299): rows stay or leave in
 * chunks of neighbours, the chunks with the highest mean score, so that a phrase is kept whole or not at all. Over any scorer; brings
 * SnapKV's scores and budget along. Protected rows stay besides. All heads of a layer keep the same chunks, by the mean of their scores (where
 * a budget gives heads different numbers of rows, the same order). Default: chunks of 20, as kvpress (the paper: 10).
 *
 * Chunks stay as long as they fit whole, so up to size - 1 rows of the budget go unused: kvpress counts chunks, and may keep more than it
 * was asked to. The paper lets neighbouring layers share a selection; here each layer has its own.
 */
export const chunkkv: Method<typeof params> = defineMethod({
  name: 'chunkkv',
  axes: ['select'],
  paper: {
    title: 'ChunkKV: Semantic-Preserving KV Cache Compression for Efficient Long-Context LLM Inference',
    arxiv: '2502.00299',
    year: 2025,
  },
  summary: 'Rows stay or leave in chunks of neighbours.',
  params,
  create: ({ size }) => {
    const { score, fallback } = snapkv()
    return { select: wholeChunks(size), fallback: { score, budget: fallback!.budget } }
  },
})
