import { defineMethod, highestScores, type Method } from '@kvfold/kv-core'
import { z } from 'zod'

const params: z.ZodObject = z.object({})

/**
 * Rows that stay move up: their keys are rotated anew for the positions 0, 1, 2, ... of their places in the head, and the next token follows
 * on (kvpress's KeyRerotation, over any scorer). Distances shrink to what is held, so a sequence may outgrow the positions that the
 * model was trained on. Not over packed rows, whose rotation is fixed. `streaming` and `locret` have the same as `contiguous`.
 */
export const rerotate: Method = defineMethod({
  name: 'rerotate',
  axes: ['select'],
  summary: 'Rows that stay move up to positions 0, 1, 2, ...',
  params,
  create: () => ({ select: { ...highestScores, contiguous: true } }),
})
