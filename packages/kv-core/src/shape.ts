import { ShapeError } from './errors.ts'
import type { RopeSpec } from './rope.ts'

/** What a cache must know of a model. */
export interface CacheShape {
  layers: number
  queryHeads: number
  /** Divides `queryHeads`: query head h reads KV head floor(h / (queryHeads / kvHeads)). */
  kvHeads: number
  headDim: number
  rope: RopeSpec
}

/** Throws ShapeError on a shape that no model has. */
export function checkShape(shape: CacheShape): void {
  for (const name of ['layers', 'queryHeads', 'kvHeads', 'headDim'] as const) {
    if (!Number.isInteger(shape[name]) || shape[name] < 1)
      throw new ShapeError(`${name} is ${shape[name]}: give a whole number of at least 1.`)
  }
  if (shape.queryHeads % shape.kvHeads !== 0)
    throw new ShapeError(`${shape.queryHeads} query heads do not divide into ${shape.kvHeads} KV heads: use a multiple.`)
  if (shape.headDim % 2 !== 0) throw new ShapeError(`headDim is ${shape.headDim}: rotary positions need an even one.`)
}
