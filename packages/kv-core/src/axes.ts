import type { Kernels, Layout } from '@kvfold/kernels'
import type { BudgetSize } from './budget.ts'
import type { ModelParts } from './model-parts.ts'
import type { PageField } from './page-coding.ts'
import type { FoldPlan } from './plan.ts'
import type { RopeSpec } from './rope.ts'
import type { CacheShape } from './shape.ts'

/** The questions that a policy answers. */
export type Axis = 'budget' | 'score' | 'protect' | 'select' | 'fold' | 'encode' | 'place' | 'attention' | 'trigger'

/** When a policy plans: at the end of a prompt (or a further part of one), or after a decode step. */
export type Moment = 'prefill' | 'decode'

/** What a method wants to see. Observations come out of the kernels; the full attention matrix is never built. */
export interface Needs {
  /** At `prefill`: softmax attention of the last w queries of the prompt. */
  windowAttention?: number
  /** At `prefill`: attention that each row received, summed over all queries of the prompt. Costs a second pass. */
  columnSums?: boolean
  /** At `decode`: the attention row of this step's query. */
  stepAttention?: boolean
  /** At `prefill`: all queries of the prompt, rotated. */
  queries?: boolean
  /** At `prefill`: mean and second moments of the prompt's unrotated queries, without those of the first so many positions. */
  queryMoments?: number
  /** A score per new row from the model's retaining heads, kept in the column `retaining`. Refused by a model that has none. */
  retaining?: boolean
  /**
   * At `prefill`: the most attention that each row got while the model read the prompt a second time, kept in the column
   * `reconstruction`. The prompt ends with `KvCache.reconstruct`.
   */
  reconstruction?: boolean
  /** The head's keys as float32 (`HeadView.keys()`). */
  keys?: boolean
  /** The head's values as float32 (`HeadView.values()`). */
  values?: boolean
}

/** What was seen for one KV head. `rows` is the head's row count; `group` the number of query heads that read it. */
export interface Observation {
  readonly moment: Moment
  readonly group: number
  /**
   * [group][window][rows], softmax over all rows, causal inside the window. `window` may be smaller than asked for (a short
   * prompt) or larger (another method asked for more): the last queries are the last. The window's own rows are the last `window` rows.
   */
  readonly windowAttention?: { readonly data: Float32Array; readonly window: number }
  /** [group][rows] */
  readonly columnSums?: Float32Array
  /** [group][rows] */
  readonly stepAttention?: Float32Array
  /** [group][count][headDim], rotated, not scaled; the last `count` rows are theirs. */
  readonly queries?: { readonly data: Float32Array; readonly count: number }
  readonly queryMoments?: QueryMoments
  /** True if further chunks of this prompt follow. */
  readonly more?: boolean
}

/** Sums over `count` unrotated queries. */
export interface QueryMoments {
  readonly count: number
  /** [group][headDim] */
  readonly sum: Float64Array
  /** [group][headDim][headDim], symmetric: the sum of q q^T. */
  readonly gram: Float64Array
}

/** What a method keeps from layer to layer and from part to part of one sequence; forks get a copy. Empty at first. */
export type SequenceMemory = Record<string, Float32Array>

/** One KV head, as a method sees it. Row order is chronological within a segment; index is not position. */
export interface HeadView {
  readonly layer: number
  readonly head: number
  readonly rows: number
  readonly headDim: number
  /** Tokens that the sequence has seen, kept or not. */
  readonly seen: number
  /** Rows that `Encoder.assign` moved to another class than 0: the first ones. */
  readonly moved: number
  /** The position of each row: [rows]. */
  readonly positions: Float32Array
  /** A statistic that lives with the rows, declared in `columns`: [rows], writable in place. */
  column(name: string): Float32Array
  /** [rows][headDim], rotated. A copy, decoded if packed. Needs `keys`. */
  keys(): Float32Array
  /** [rows][headDim]. A copy, decoded if packed. Needs `values`. */
  values(): Float32Array
  /** Logits [count][rows] of any queries [count][headDim] (rotated), times 1/sqrt(headDim); every row is seen. Needs `keys`. */
  logits(queries: Float32Array, count: number): Float32Array
  /** The softmax of those logits over all rows: [count][rows]. Needs `keys`. */
  attention(queries: Float32Array, count: number): Float32Array
  readonly rope: RopeSpec
  readonly memory: SequenceMemory
  /** False for a row that is packed already: it may leave, but nothing can be folded into it. */
  foldable(row: number): boolean
}

/** A number kept per row. New rows start with `initial`. A column named `bias` is added to the rows' logits. */
export interface ColumnSpec {
  name: string
  initial: number
}

/** How important is each row? */
export interface Scorer {
  needs: Needs
  /** When rows may leave. Default: only at `prefill`, decode keeps everything. */
  moments?: readonly Moment[]
  columns?: readonly ColumnSpec[]
  /** One number per row, higher stays; +Infinity protects. Called at each of `moments`, whether or not rows must leave. */
  score(seen: Observation, head: HeadView): Float32Array
  /** Instead of `score`, for a method whose heads decide together: all heads of a layer at once. */
  scoreLayer?(seen: readonly Observation[], heads: readonly HeadView[]): Float32Array[]
}

/** Which rows stay whatever their scores are? Default: those that the method protects itself. */
export interface Protection {
  /** First positions of the sequence. */
  sinks: number
  /** Newest rows. */
  recent: number
}

/** When do rows leave? Default: when a prompt ends, and after every step at which the scorer decides. */
export interface Trigger {
  /** Also after so many tokens of a prompt, each time: what is held never exceeds the budget by more. */
  chunk?: number
  /** Not after every decode step, but after every so many. Counted from the end of the prompt. */
  every?: number
}

/** Which rows stay, given scores and a number of rows? Default: the highest scores, the older row of a tie. */
export interface Selector {
  /** Ascending row indices, at most `rows` of them. */
  select(scores: Float32Array, rows: number, head: HeadView): Uint32Array
  /** Instead of `select`, for a method whose heads decide together: all heads of a layer at once. */
  selectLayer?(scores: readonly Float32Array[], rows: readonly number[], heads: readonly HeadView[]): Uint32Array[]
  /**
   * Rows that stay are rotated anew for their places 0, 1, 2, ... in the head, and new tokens follow on: positions never exceed what is
   * held. Refused over packed rows, and where the model rotates. Default false: true positions.
   */
  contiguous?: boolean
}

/** What a budgeter knows of a layer. */
export interface LayerStats {
  layer: number
  /** Rows that each KV head holds now. */
  rows: number[]
  /** What `measure` said when the layer's prompt ended; 0 without `measure`. */
  measure: number
  /** The scorer's scores, one array per KV head; protected rows are +Infinity. A view: do not keep. */
  scores: readonly Float32Array[]
}

/** The budget in rows, resolved from its size. */
export interface RowBudget {
  /** Rows per layer and KV head, on average. */
  rows: number
  layers: number
  kvHeads: number
  /** Tokens that the sequence has seen. */
  seen: number
}

/** How many rows may each layer and head keep? */
export interface Budgeter {
  size: BudgetSize
  needs?: Needs
  /**
   * `layer` (default): a layer's share does not depend on other layers; it is cut as soon as its prompt ends.
   * `cascade`: asked again after each layer, earlier layers are cut again on their stored scores.
   * `model`: asked once, after the last layer's prompt; all layers are cut then.
   */
  when?: 'layer' | 'cascade' | 'model'
  /** One number that describes a layer, taken before it is cut. */
  measure?(heads: readonly { seen: Observation; head: HeadView }[]): number
  /** [layer][kvHead] rows, for the layers in `seen` (in order). */
  allocate(seen: readonly LayerStats[], total: RowBudget): number[][]
}

/** One KV head at the moment when rows leave. */
export interface Leaving {
  kept: Uint32Array
  left: Uint32Array
  head: HeadView
}

/** What becomes of rows that leave? Default: they are dropped. */
export interface Folder {
  needs?: Needs
  columns?: readonly ColumnSpec[]
  /**
   * One plan per head (undefined: drop). A layer's heads come together, for methods that decide for all of them at once;
   * `state` holds numbers that the method keeps per layer and sequence (a running threshold), empty at first.
   */
  fold(heads: readonly Leaving[], state: Record<string, number>): (FoldPlan | undefined)[]
}

/** How rows become bytes. A page holds `pageRows` rows at most. */
export interface Codec {
  readonly name: string
  /** What the kernels read without decoding, or `opaque`: decoded block by block into scratch. */
  readonly layout: Layout | 'opaque'
  /** Of keys that it wants before they are rotated; those that it decodes are rotated again for their positions. Only for `opaque`. Default false. */
  readonly unrotated?: boolean
  /** Rows of a full page; a packed page is written once. At most 64. */
  pageRows(headDim: number): number
  /** Bytes of a page with room for `rows` rows: as many for each, and what they share. */
  bytes(rows: number, headDim: number): number
  /** Only for `opaque`: bytes that a page's rows share. A page that has any is written once, as a whole; then rows only leave. Default 0. */
  shared?(headDim: number): number
  /**
   * Float32 [rows][headDim] to bytes, all of which it writes: of the rows, one after the other, and what they share. For `opaque`; or,
   * with a layout of axis `token`, instead of the kernels' own rounding: a whole page of `count` rows in that layout.
   */
  encode?(rows: Float32Array, count: number, headDim: number, into: Uint8Array, shared: Uint8Array): void
  /** Only for `opaque`: what the bytes of a row mean, and those that a page's rows share. A coding of cache files goes by it. Default: nobody knows. */
  fields?(headDim: number): { row: readonly PageField[]; shared: readonly PageField[] }
  /** Only for `opaque`: any rows of a page, and what they share. All are views of the cache's memory: `bytes` and `shared` are only to be read. */
  decode?(bytes: Uint8Array, count: number, headDim: number, into: Float32Array, shared: Uint8Array): void
}

/** A pair of codecs. */
export interface StorageClass {
  name: string
  keys: Codec
  values: Codec
}

/**
 * When new rows are packed: as soon as `keep + step` unpacked rows are there, the oldest `step` of them.
 * Keys and values may differ (KIVI: keys keep 0 and step R, values keep R and step 1).
 */
export interface FlushRule {
  keys: { keep: number; step: number }
  values: { keep: number; step: number }
}

/** A head's place in its model. */
export interface HeadPlace {
  layer: number
  head: number
  layers: number
  kvHeads: number
  headDim: number
}

/** Some rows of a layer: of each KV head the heap address of [count][headDim] float32. */
export interface LayerRows {
  layer: number
  /** The first one's number. */
  first: number
  count: number
  keys: readonly number[]
  values: readonly number[]
}

/**
 * What a layer's rows are turned into before they are packed, and back: coordinates in which heads mix. Keys come and go unrotated. No row may
 * leave, since each belongs to all heads. Layers come in order. All calls change the rows in place.
 */
export interface Basis {
  /** Into what is packed. */
  store(rows: LayerRows): void
  /** The rows that were just packed, as they are read back: further layers may be stored as their difference to these. */
  stored?(rows: LayerRows): void
  /** All packed rows of a layer, back into keys and values. */
  restore(rows: LayerRows): void
  /** The last layer is done: frees what is remembered from layer to layer. */
  end(): void
}

/** What a basis is made with. */
export interface BasisPlace {
  shape: CacheShape
  model: ModelParts
  kernels: Kernels
  /** Counted memory in the heap: what a basis holds is part of the cache's peak. */
  malloc: (bytes: number) => number
  free: (address: number, bytes: number) => void
}

/** How are rows that stay stored? New rows arrive unpacked in class 0. */
export interface Encoder {
  classes: readonly StorageClass[]
  /** Instead of `classes`, where codecs depend on the head's place or on the model: as many, in the same order. Asked once per cache. */
  classesOf?(place: HeadPlace, model: ModelParts): readonly StorageClass[]
  flush: FlushRule
  /** For one class whose keys and values are packed together. Asked once per cache; throws UnsupportedPolicyError. */
  basis?(at: BasisPlace): Basis
  needs?: Needs
  /**
   * When `assign` is asked. Default: at `prefill`, about rows that are not packed yet. With `decode`, after every step too, and then packed
   * rows of class 0 can move as well: they are decoded and packed anew.
   */
  moments?: readonly Moment[]
  /** The class of each kept row; `scores` are the scorer's, if there is one. A row that left class 0 stays where it is. Default: all 0. */
  assign?(kept: Uint32Array, scores: Float32Array | undefined, head: HeadView, moment: Moment): Uint8Array
}

/** Where pages live besides memory. Synchronous tiers cost no microtask. Throws TierError. */
export interface Tier {
  readonly name: string
  put(key: number, bytes: Uint8Array): void | Promise<void>
  get(key: number, into: Uint8Array): void | Promise<void>
  delete(key: number): void | Promise<void>
  close(): void | Promise<void>
}

/** A full page that could leave memory. */
export interface PageView {
  layer: number
  head: number
  part: 'keys' | 'values'
  rows: number
  bytes: number
  /** Rows of the head that are newer than this page's. */
  newer: number
}

/** On which tier do pages live? */
export interface Placer {
  /** Opens the tier; called once per cache, before the first page leaves. */
  open(): Tier
  /** True if the page should leave memory now. */
  leaves(page: PageView): boolean
}

/** A prompt's queries over the rows so far, for one KV head. */
export interface PrefillView {
  readonly layer: number
  readonly head: number
  readonly group: number
  /** Queries of this call; query i sees rows 0 .. rows - count + i. */
  readonly count: number
  readonly rows: number
  readonly headDim: number
  /** [group][count][headDim], rotated, not scaled. A view: do not keep. */
  readonly queries: Float32Array
  /** [rows][headDim], rotated. */
  keys(): Float32Array
  /** Logits (scaled, causal) of the last `window` queries: [group][window][rows]. */
  lastLogits(window: number): Float32Array
}

/** Which row blocks each query block looks at. Blocks of `size` rows (a multiple of 16), counted from row 0 and query 0. */
export interface BlockList {
  size: number
  /** [group][ceil(count/size) + 1] offsets into `indices`. */
  offsets: Int32Array
  /** Ascending row-block numbers. */
  indices: Int32Array
}

/** Which rows does a query look at, in prefill? Default: all. */
export interface PrefillAttention {
  /** Undefined: dense. */
  blocks(view: PrefillView): BlockList | undefined
}
