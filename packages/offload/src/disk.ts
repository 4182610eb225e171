import { defineMethod, type Method } from '@kvfold/kv-core'
import { z } from 'zod'
import { lmdbTier } from './lmdb-tier.ts'

const params: z.ZodObject<{ path: z.ZodOptional<z.ZodString>; resident: z.ZodDefault<z.ZodNumber> }> = z.object({
  path: z.string().min(1).optional().describe('a folder; default: one for temporary files, removed with the cache'),
  resident: z.number().int().min(0).default(128).describe("each head's newest rows that stay in memory, at least"),
})

/**
 * Moves full pages whose rows are all older than the newest `resident` rows of their head (default 128) to an embedded store on
 * disk, and reads them back, page by page, when a query looks at them. Output is bit-equal to the same policy in memory; memory
 * holds the newest rows, the columns and a page of scratch, time goes up by the reads. Pages leave in the codec they are in, so
 * `kivi(bits=2) + disk()` writes and reads a sixth of what `disk()` alone does. Not a paper's method: plain tiering by age, as in
 * every serving system. Node only; opening it elsewhere is a TierError.
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
