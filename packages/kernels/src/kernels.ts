import type { Heap } from './heap.ts'
import type { PackedWeights } from './packed-weights.ts'
import type { Tensor } from './tensor.ts'

/**
 * How rows lie in a page, as the kernels see it.
 *
 * - `raw32`: `capacity` rows of `headDim` float32.
 * - `raw16`: `capacity` rows of `headDim` float16, finite.
 * - `affine`: codes, then scales, then minima (both float16); x = code * scale + minimum. A row's codes take
 *   `headDim * bits / 8` bytes and are planar: with B bytes a row, bits `p*bits ..` of byte j hold channel `p*B + j`.
 *   - axis `token`: every row has `headDim / group` scales and as many minima
 *     (`[capacity][headDim/group]` scales, then the minima likewise): groups of consecutive channels of one token. With `factors`, `headDim` of
 *     them (float16) follow, and x = (code * scale + minimum) * factor: channels were divided by theirs first.
 *   - axis `channel`: the page is one group of at most `group` tokens: `headDim` scales, then `headDim` minima.
 */
export type Layout =
  | { readonly kind: 'raw32' }
  | { readonly kind: 'raw16' }
  | {
      readonly kind: 'affine'
      readonly bits: 2 | 4 | 8
      readonly axis: 'token' | 'channel'
      readonly group: number
      readonly factors?: boolean
    }

/**
 * A table of pages in the heap: `PAGE_ENTRY` int32 per page, in row order:
 * [address, rows, layout code (see `layoutCode`), capacity]. A table describes the keys or the values of one head's segment.
 */
export const PAGE_ENTRY = 4

/** The layout as one int32: 0 is raw32, 16 is raw16; else bits | axis << 8 (0 token, 1 channel) | factors << 9 | group << 16. */
export function layoutCode(layout: Layout): number {
  if (layout.kind === 'raw32') return 0
  if (layout.kind === 'raw16') return 16
  return layout.bits | ((layout.axis === 'channel' ? 1 : 0) << 8) | ((layout.factors ? 1 : 0) << 9) | (layout.group << 16)
}

/** The layout that a code stands for. */
export function layoutOf(code: number): Layout {
  if (code === 0) return { kind: 'raw32' }
  if (code === 16) return { kind: 'raw16' }
  const bits = (code & 255) as 2 | 4 | 8
  const axis = (code >>> 8) & 1 ? 'channel' : 'token'
  return { kind: 'affine', bits, axis, group: code >>> 16, factors: ((code >>> 9) & 1) === 1 }
}

/** Bytes of a page of `capacity` rows. */
export function layoutBytes(layout: Layout, headDim: number, capacity: number): number {
  if (layout.kind === 'raw32') return capacity * headDim * 4
  if (layout.kind === 'raw16') return capacity * headDim * 2
  const codes = (capacity * headDim * layout.bits) / 8
  const scales = layout.axis === 'channel' ? headDim : capacity * (headDim / layout.group)
  return codes + scales * 4 + (layout.factors ? headDim * 2 : 0)
}

/** The keys and values that a call reads: one segment of one KV head. */
export interface Rows {
  /** Address of the keys' page table. */
  keyTable: number
  keyPages: number
  /** Address of the values' page table; its pages need not end where the keys' do. 0: `prefill` changes only max and sum. */
  valueTable: number
  valuePages: number
  /** Rows in all; both tables hold as many. */
  rows: number
  /** Address of one float32 per row, added to the row's logits; 0 for none. */
  bias: number
  /** Multiplies every logit, after 1/sqrt(headDim). Default 1. */
  logitScale: number
  /** Added to every logit. Default 0. */
  logWeight: number
}

/** The queries of one KV head: its group's query heads, `[group][count][keyDim]` float32, rotated, not scaled. */
export interface Queries {
  address: number
  group: number
  count: number
  /** Channels of values and outputs. */
  headDim: number
  /** Channels of queries and keys, where they are not as many: see `lowRankQueries`. Default `headDim`. */
  keyDim?: number
}

/**
 * Running softmax of some queries: address of `max [group*count]`, `sum [group*count]`, then `output [group*count][headDim]`,
 * all float32. Any number of calls continue it, over any mix of segments; `finish` divides.
 */
export type SoftmaxState = number

/** Where logits go, `[group*count][stride]`. */
export interface LogitsTarget {
  address: number
  stride: number
}

/**
 * Block-sparse attention: in query block r, query head g sees only the listed blocks of rows. Blocks of `size` (a multiple of 16), CSR:
 * `offsets` is the address of int32 `[group][ceil(count/size) + 1]`, each an index into `indices` (int32, ascending row-block numbers).
 */
export interface Blocks {
  size: number
  offsets: number
  indices: number
}

/** A matrix in the heap, or some columns of one: `stride` float32 from row to row. */
export interface Matrix {
  address: number
  stride: number
}

/** Bytes of a softmax state. */
export function softmaxStateBytes(queries: { group: number; count: number; headDim: number }): number {
  return queries.group * queries.count * (queries.headDim + 2) * 4
}

/** A tensor's data in the heap. */
export interface Borrowed {
  readonly address: number
  /** Frees the copy, if the data was copied. Call it once. */
  release(): void
}

/** Room in the heap for a tensor that is being written. */
export interface Output {
  readonly address: number
  /** Hands the written data over as a tensor; the address is not ours any more. Call it once. */
  finish(): Tensor
}

/**
 * The hot loops. All pointers are addresses in `heap`; float32 unless said otherwise. Logit of query i and row j:
 * dot(q, k) / sqrt(headDim) * logitScale + logWeight + bias[j].
 *
 * Rows of one segment are in order: with `causal = c`, query i of `count` sees rows 0 .. c + i only; -1 means that it sees all rows.
 */
export interface Kernels {
  readonly name: string
  /** By what share of the largest output decode over packed rows may be off, beside what their codes are. */
  readonly packedError: number
  readonly heap: Heap

  /**
   * Copies or borrows a tensor's data into the heap. A promise only for tensors on a GPU, whose data must be waited for.
   * Throws (or rejects with) UnsupportedTensorError.
   */
  borrow(tensor: Tensor): Borrowed | Promise<Borrowed>
  /** A new tensor of the kind that `like` is, and where its data lies in the heap; `finish` hands it over once written. */
  output(like: Tensor, shape: readonly number[]): Output

  /** max = -Infinity, sum = 0, output = 0. */
  begin(state: SoftmaxState, queries: Queries): void
  /**
   * Decode: a few queries (count is usually 1) see all rows of a segment.
   * With `logits` (address of `[group*count][stride]`), also writes the logits there, for `probabilities`.
   */
  attend(state: SoftmaxState, queries: Queries, rows: Rows, logits?: LogitsTarget): void
  /**
   * Prefill: many queries, tiled, causal, never more than a tile of logits.
   * With `blocks`, every query sees only the blocks of rows listed for it.
   */
  prefill(state: SoftmaxState, queries: Queries, rows: Rows, causal: number, blocks?: Blocks): void
  /** Writes output / sum to `out` `[group][count][headDim]`. A query that saw nothing gets zeros. */
  finish(state: SoftmaxState, queries: Queries, out: number): void

  /** logits `[group*count][stride]`, `rows` columns from `address` on: exp(logit - max) / sum, in place. */
  probabilities(state: SoftmaxState, queries: Queries, logits: LogitsTarget, rows: number): void
  /** Writes the logits of a segment to `[group*count][stride]` (rows that a query may not see: -Infinity). For windows of queries. */
  logits(queries: Queries, rows: Rows, causal: number, into: LogitsTarget): void
  /** Adds to `sums` `[group][rows]` each row's attention, summed over the queries; `state` is the finished max and sum of the whole row set. */
  columnSums(state: SoftmaxState, queries: Queries, rows: Rows, causal: number, sums: number): void
  /** Raises `maxima` `[group][rows]` to the most attention that a query gives each row; `state` as for `columnSums`. */
  columnMaxima(state: SoftmaxState, queries: Queries, rows: Rows, causal: number, maxima: number): void
  /** Rows of logits `[count][stride]` to softmax over their first `rows`, in place. A row of -Infinity alone gets zeros. */
  softmax(address: number, count: number, stride: number, rows: number): void
  /**
   * Adds to `into` `[width][width]` the outer product of each of `count` vectors `[count][width]` with itself. Only the upper triangle,
   * diagonal included, is to be read.
   */
  gram(from: number, count: number, width: number, into: number): void
  /** Adds to `into` `[rows][columns]` the product of `a` `[rows][inner]`, whose rows lie without gaps, and `b` `[inner][columns]`. */
  matmul(a: number, b: Matrix, into: Matrix, rows: number, inner: number, columns: number): void

  /**
   * Adds to `into` `[rows][outputs]` x `[rows][inputs]` times the weights, decoded on the way. Up to four rows that meet quantised weights are
   * rounded to 16 bits a block of 32, an error below 2e-5 of the block's largest number.
   */
  linear(x: number, rows: number, weights: PackedWeights, into: number): void
  /** into `[rows][width]` = x / sqrt(mean of squares + epsilon), row by row. `into` may equal `x`. */
  rmsNorm(x: number, rows: number, width: number, epsilon: number, into: number): void
  /** gate = silu(gate) * up, `count` numbers, in place. */
  swiglu(gate: number, up: number, count: number): void
  /** Rotates (rotate-half) `count` vectors of `headDim`: channel i pairs with i + headDim/2. cos and sin are `[count][headDim/2]`. `into` may equal `from`. */
  rope(from: number, into: number, count: number, headDim: number, cos: number, sin: number): void
  /**
   * Copies the rows `indices` (ascending, int32 `[count]`) of one part of a page list to another page list, densely.
   * A part is `width` bytes per row, found in a page at `base * capacity` bytes: (0, row bytes) for raw rows and codes, then
   * scales and minima of the token axis.
   */
  gather(
    fromTable: number,
    fromPages: number,
    intoTable: number,
    intoPages: number,
    indices: number,
    count: number,
    base: number,
    width: number,
  ): void
  /**
   * Float32 `[rows][headDim]` to a page in any layout. Rounds half to even; a constant group gets scale 0, codes 0. What is too large for
   * float16 becomes its largest number, 65504 or -65504.
   */
  quantize(from: number, rows: number, headDim: number, layout: Layout, page: number, capacity: number): void
  /** Rows `start .. start+rows` of a page, as float32 `[rows][headDim]`. */
  dequantize(page: number, capacity: number, layout: Layout, start: number, rows: number, headDim: number, into: number): void
  /** True if all `count` float32 are finite. */
  isFinite(address: number, count: number): boolean
}
