import { affine, defineMethod, highestScores, protectRecent, raw32, uniform, type Codec, type Method, type Tier } from '@kvfold/kv-core'
import { z } from 'zod'

const sizes = z.object({ budget: z.number().default(40), decode: z.boolean().default(true), contiguous: z.boolean().default(false) })

/** Keeps the rows with the largest keys and the newest eight. */
export const largest: Method<typeof sizes> = defineMethod({
  name: 'largest',
  axes: ['budget', 'score', 'select'],
  summary: 'largest keys',
  params: sizes,
  create: ({ budget, decode, contiguous }) => ({
    budget: uniform({ tokens: budget }),
    score: {
      needs: { keys: true },
      moments: decode ? ['prefill', 'decode'] : ['prefill'],
      columns: [{ name: 'age', initial: 1 }],
      score: (_, head) => {
        const keys = head.keys()
        const scores = new Float32Array(head.rows)
        for (let i = 0; i < keys.length; i++) scores[Math.floor(i / head.headDim)] += Math.abs(keys[i])
        head.column('age').forEach((_, i, ages) => ages[i]++)
        return protectRecent(scores, 8)
      },
    },
    select: { ...highestScores, contiguous },
  }),
})

const none = z.object({})

/** Averages every row that leaves into the newest kept row that still can take it. */
export const average: Method<typeof none> = defineMethod({
  name: 'average',
  axes: ['fold'],
  summary: 'average',
  params: none,
  create: () => ({
    fold: {
      needs: { keys: true, values: true },
      fold: (heads, state) => {
        state['calls'] = (state['calls'] ?? 0) + 1
        return heads.map(({ kept, left, head }) => {
          const target = kept.findLast((row) => head.foldable(row))
          if (target === undefined || left.length === 0) return undefined
          const from = Uint32Array.of(target, ...left)
          return { from, into: from.map(() => target), weights: new Float32Array(from.length).fill(1 / from.length) }
        })
      },
    },
  }),
})

/** Scores rows by what it remembers of the steps before, across layers too; keeps the budget's rows of all layers together. */
export const remembers: Method<typeof none> = defineMethod({
  name: 'remembers',
  axes: ['budget', 'score', 'trigger'],
  summary: 'a memory, a measure, stored scores, a trigger',
  params: none,
  create: () => ({
    budget: {
      size: { tokens: 20 },
      when: 'cascade',
      measure: (heads) => heads[0].head.rows,
      // The last layers get more, and one head is never cut.
      allocate: (seen, { kvHeads }) =>
        seen.map(({ layer }) => Array.from({ length: kvHeads }, (_, h) => (h === 1 ? Infinity : 18 + layer))),
    },
    score: {
      needs: {},
      moments: ['prefill', 'decode'],
      score: (_, { rows, memory, layer, positions }) => {
        const sums = (memory['sums of rows'] ??= new Float32Array(3))
        sums[layer % 3] += rows
        memory[`layer ${layer}`] = positions.slice(0, 5)
        return protectRecent(
          Float32Array.from(positions, (position) => Math.sin(position * sums[0])),
          4,
        )
      },
    },
    trigger: { every: 3 },
  }),
})

const packing = z.object({ bits: z.union([z.literal(2), z.literal(4), z.literal(8)]).default(8), residual: z.number().default(32) })

/** KIVI's layout: keys per channel, values per token. */
export const packed: Method<typeof packing> = defineMethod({
  name: 'packed',
  axes: ['encode'],
  summary: 'packed',
  params: packing,
  create: ({ bits, residual }) => ({
    encode: {
      classes: [
        { name: `int${bits}`, keys: affine({ bits, axis: 'channel', group: 16 }), values: affine({ bits, axis: 'token', group: 16 }) },
      ],
      flush: { keys: { keep: 0, step: residual }, values: { keep: residual, step: 1 } },
    },
  }),
})

/** Float32 in reverse byte order: a codec that no kernel reads, and that loses nothing. */
const reversed: Codec = {
  name: 'reversed',
  layout: 'opaque',
  pageRows: () => 64,
  bytes: (rows, headDim) => rows * headDim * 4,
  encode: (rows, count, headDim, into) =>
    into.set(new Uint8Array(rows.buffer, rows.byteOffset, count * headDim * 4).map((byte) => byte ^ 255)),
  decode: (bytes, count, headDim, into) => into.set(new Float32Array(bytes.slice(0, count * headDim * 4).map((byte) => byte ^ 255).buffer)),
}

const rotation = z.object({ unrotated: z.boolean().default(false) })

export const opaque: Method<typeof rotation> = defineMethod({
  name: 'opaque',
  axes: ['encode'],
  summary: 'opaque, lossless',
  params: rotation,
  create: ({ unrotated }) => ({
    encode: {
      classes: [{ name: 'reversed', keys: { ...reversed, unrotated }, values: reversed }],
      flush: { keys: { keep: 4, step: 1 }, values: { keep: 20, step: 1 } },
    },
  }),
})

/** Odd rows to int8, even rows stay raw: two classes at once. */
export const mixed: Method<typeof none> = defineMethod({
  name: 'mixed',
  axes: ['encode'],
  summary: 'two classes',
  params: none,
  create: () => ({
    encode: {
      classes: [
        { name: 'raw', keys: raw32, values: raw32 },
        { name: 'int8', keys: affine({ bits: 8, axis: 'token', group: 16 }), values: affine({ bits: 8, axis: 'token', group: 16 }) },
      ],
      flush: { keys: { keep: 0, step: 1 }, values: { keep: 0, step: 1 } },
      assign: (kept) => Uint8Array.from(kept, (row) => row % 2),
    },
  }),
})

/** The newest 24 rows in int8, older ones without loss in a codec that no kernel reads: rows move from step to step. */
export const aging: Method<typeof none> = defineMethod({
  name: 'aging',
  axes: ['encode'],
  summary: 'rows change classes',
  params: none,
  create: () => {
    const small = affine({ bits: 8, axis: 'token', group: 16 })
    return {
      encode: {
        classes: [
          { name: 'young', keys: small, values: small },
          { name: 'old', keys: reversed, values: reversed },
        ],
        flush: { keys: { keep: 0, step: 1 }, values: { keep: 3, step: 1 } },
        moments: ['prefill', 'decode'],
        assign: (kept) => Uint8Array.from(kept, (row) => (row < kept.length - 24 ? 1 : 0)),
      },
    }
  },
})

/** A tier in a Map; `later`: it answers asynchronously. */
export class MapTier implements Tier {
  readonly name = 'map'
  readonly pages: Map<number, Uint8Array> = new Map()
  private readonly later: boolean

  constructor(later: boolean) {
    this.later = later
  }

  put(key: number, bytes: Uint8Array): void | Promise<void> {
    this.pages.set(key, bytes.slice())
    return this.done()
  }

  get(key: number, into: Uint8Array): void | Promise<void> {
    into.set(this.pages.get(key)!)
    return this.done()
  }

  delete(key: number): void | Promise<void> {
    if (!this.pages.delete(key)) throw new Error(`no page ${key}`)
    return this.done()
  }

  close(): void {
    if (this.pages.size > 0) throw new Error(`${this.pages.size} pages were never deleted`)
  }

  private done(): void | Promise<void> {
    return this.later ? new Promise((resolve) => setTimeout(resolve, 0)) : undefined
  }
}

const tiers = z.object({ resident: z.number().default(20), later: z.boolean().default(false) })

/** Pages older than the newest `resident` rows leave memory. */
export const away: Method<typeof tiers> = defineMethod({
  name: 'away',
  axes: ['place'],
  summary: 'a Map as tier',
  params: tiers,
  create: ({ resident, later }) => ({ place: { open: () => new MapTier(later), leaves: (page) => page.newer >= resident } }),
})
