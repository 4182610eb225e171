import { defineMethod, protectRecent, uniform, type Preset } from '@kvfold/kv-core'
import { z } from 'zod'

const none = z.object({})
/** Keeps the newest ten rows. */
export const newest: Preset = defineMethod({
  name: 'newest',
  axes: ['budget', 'score'],
  summary: 'newest rows',
  params: none,
  create: () => ({
    budget: uniform({ tokens: 10 }),
    score: { needs: {}, score: (_, head) => protectRecent(new Float32Array(head.rows), 10) },
  }),
})()

/** What leaves goes into the newest row. */
export const intoNewest: Preset = defineMethod({
  name: 'into-newest',
  axes: ['fold'],
  summary: 'folds',
  params: none,
  create: () => ({
    fold: {
      needs: {},
      fold: (heads) =>
        heads.map(({ kept, left }) => ({
          from: Uint32Array.from(left),
          into: left.map(() => kept[kept.length - 1]),
          weights: new Float32Array(left.length).fill(0.5),
        })),
    },
  }),
})()
