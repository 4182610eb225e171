import { defineMethod, type Method } from '@kvfold/kv-core'
import { z } from 'zod'
import { lmdbTier } from './lmdb-tier.ts'

const params: z.ZodObject<{
  path: z.ZodOptional<z.ZodString>
  resident: z.ZodDefault<z.ZodNumber>
}> = z.object({
  path: z.string().min(1).optional().describe('a folder; default: one for temporary files, removed with the cache'),
  resident: z.number().int().min(0).default(128).describe("each head's newest rows that stay in memory, at least"),
})

/**
 * Moves full pages whose rows are all older than the newest `resident` rows of their head (default 128) to an embedded store on
 * disk, and reads them back, without keeping them, whenever a query looks at them. Output equals that of the same policy in memory
 * up to the rounding of sums; memory holds the newest rows, the columns and, during a step, 512 rows of one head. Pages leave in the
 * codec they are in, so a packing method in front shrinks both the store and the reads. Not a paper's method: plain tiering by age,
 * as serving systems do. Node only: opening the store elsewhere is a TierError.
 */
export const disk: Method<typeof params> = defineMethod({
  name: 'disk',
  axes: ['place'],
  summary: 'Older pages live in a store on disk and are read back when a query looks at them.',
  params,
  create: ({ path, resident }) => ({
    place: {
      open: () => lmdbTier({ path }),
      leaves: (page) => page.newer >= resident,
    },
  }),
})
