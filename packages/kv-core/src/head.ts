import { PAGE_ENTRY, type Kernels, type Rows } from '@kvfold/kernels'
import type { ColumnSpec, Encoder, FlushRule, StorageClass } from './axes.ts'
import { PAGE_ROWS, raw32 } from './codecs.ts'
import { Columns } from './columns.ts'
import type { Page, PagePool } from './page.ts'
import { PageList, type WriteRows, writeTable } from './page-list.ts'
import type { Rotary } from './rotary.ts'

/** Rows of slices in which segments are decoded that the kernels cannot read where they lie. */
const SLICE = 512

/** Rows of one head in one storage class. New rows arrive unpacked and are packed by the flush rule. */
export interface Segment {
  storage: number
  keys: PageList
  values: PageList
  logitScale: number
  logWeight: number
}

/** A part of a head's rows that the kernels can read: `start` is its first row; `causal` as the kernels take it. */
export interface Slice {
  rows: Rows
  start: number
  causal: number
}

/** Everything that is stored for one KV head of one layer. Rows are numbered through the segments; new ones arrive in the last. */
export class Head {
  segments: Segment[]
  columns: Columns
  /** While a call runs whose packed rows were unpacked for it as a whole: the addresses of keys and values of the first `count` rows. */
  restored: { count: number; keys: number; values: number } | undefined
  readonly classes: readonly StorageClass[]
  private readonly kernels: Kernels
  private readonly pool: PagePool
  private readonly headDim: number
  private readonly rotary: Rotary | undefined

  constructor(
    at: { kernels: Kernels; pool: PagePool; headDim: number; rotary: Rotary | undefined },
    columns: readonly ColumnSpec[],
    classes: readonly StorageClass[],
  ) {
    const { kernels, pool, headDim, rotary } = at
    this.kernels = kernels
    this.pool = pool
    this.headDim = headDim
    this.rotary = rotary
    this.classes = classes
    this.columns = new Columns(columns, (bytes) => pool.claim(bytes))
    // Class 0 comes last: that is where rows arrive.
    this.segments = classes.map((_, i) => ({
      storage: classes.length - 1 - i,
      keys: new PageList(kernels, pool, headDim),
      values: new PageList(kernels, pool, headDim),
      logitScale: 1,
      logWeight: 0,
    }))
  }

  get rows(): number {
    return this.columns.rows
  }

  /** The segment in which new rows arrive. */
  get arrivals(): Segment {
    return this.segments[this.segments.length - 1]
  }

  get lists(): PageList[] {
    return this.segments.flatMap((segment) => [segment.keys, segment.values])
  }

  /** Makes room for `count` new rows and lets them be written, run by run. All keys' pages come first: reading is fastest in long runs. */
  appendRows(count: number, writeKeys: WriteRows, writeValues: WriteRows): void {
    this.arrivals.keys.append(count, writeKeys)
    this.arrivals.values.append(count, writeValues)
  }

  /**
   * Calls `visit` for each piece of the rows. `base`: the rows that the first query of a prompt sees before its own, or -1 if every query
   * sees all rows. Returns a promise only if something must be waited for: pages that are away are decoded slice by slice.
   */
  visit(base: number, bias: number, visit: (slice: Slice) => void): void | Promise<void> {
    if (this.restored) return this.visitRestored(base, bias, visit)
    if (this.direct) {
      let start = 0
      for (const segment of this.segments) {
        if (segment.keys.rows > 0) visit(this.wholeSegment(segment, start, base, bias))
        start += segment.keys.rows
      }
      return
    }
    return this.visitSlices(base, bias, visit)
  }

  /** True if the kernels can read all rows where they lie. */
  get direct(): boolean {
    return !this.restored && this.lists.every((list) => list.direct)
  }

  /** Shows the keys of all rows where they lie. They must be direct; values may be away. */
  visitKeys(visit: (rows: Rows, start: number) => void): void {
    let start = 0
    for (const { keys, logitScale, logWeight } of this.segments) {
      const { rows, pages } = keys
      if (rows > 0)
        visit({ keyTable: keys.table(), keyPages: pages.length, valueTable: 0, valuePages: 0, rows, bias: 0, logitScale, logWeight }, start)
      start += rows
    }
  }

  private wholeSegment(segment: Segment, start: number, base: number, bias: number): Slice {
    const { keys, values, logitScale, logWeight } = segment
    const causal = base < 0 || segment !== this.arrivals ? -1 : base - start
    const rows = {
      keyTable: keys.table(),
      keyPages: keys.pages.length,
      valueTable: values.table(),
      valuePages: values.pages.length,
      rows: keys.rows,
      bias: bias && bias + start * 4,
      logitScale,
      logWeight,
    }
    return { rows, start, causal }
  }

  private async visitSlices(base: number, bias: number, visit: (slice: Slice) => void): Promise<void> {
    const { pool, headDim } = this
    const bytes = SLICE * headDim * 4
    const scratch = pool.malloc(2 * bytes)
    try {
      let start = 0
      for (const segment of this.segments) {
        const { keys, values } = segment
        const show = (first: number, count: number, causal: number, keyPages: readonly Page[], valuePages: readonly Page[]): void => {
          const at = { start: start + first, causal, count, bias: bias && bias + (start + first) * 4 }
          this.show(segment, at, keyPages, valuePages, visit)
        }
        // Rows that only some queries may see have just arrived: unpacked, in memory, read where they lie.
        const history = base < 0 || segment !== this.arrivals ? keys.rows : base - start
        for (let first = 0; first < history; first += SLICE) {
          const count = Math.min(SLICE, history - first)
          await keys.load(first, count, scratch)
          this.rotate(segment, first, count, scratch, start + first)
          await values.load(first, count, scratch + bytes)
          show(first, count, -1, stagedPages(scratch, count, headDim), stagedPages(scratch + bytes, count, headDim))
        }
        if (history < keys.rows) show(history, keys.rows - history, 0, keys.span(history), values.span(history))
        start += keys.rows
      }
    } finally {
      pool.free(scratch, 2 * bytes)
    }
  }

  private visitRestored(base: number, bias: number, visit: (slice: Slice) => void): void {
    const { arrivals, headDim, rows } = this
    const { count, keys, values } = this.restored!
    const at = { start: 0, causal: base, count: rows, bias }
    const keyPages = [...stagedPages(keys, count, headDim), ...arrivals.keys.span(count)],
      valuePages = [...stagedPages(values, count, headDim), ...arrivals.values.span(count)]
    this.show(arrivals, at, keyPages, valuePages, visit)
  }

  /** Shows the keys of rows `first .. first+count`, which must have arrived lately: unpacked, in memory. */
  visitSpan(first: number, count: number, causal: number, bias: number, visit: (rows: Rows, causal: number) => void): void {
    if (count === 0) return
    const { arrivals } = this
    const start = first - (this.rows - arrivals.keys.rows)
    const at = { start: first, causal, count, bias: bias && bias + first * 4 }
    this.show(arrivals, at, arrivals.keys.span(start, count), [], (slice) => visit({ ...slice.rows, valueTable: 0 }, causal))
  }

  private show(
    segment: Segment,
    at: { start: number; causal: number; count: number; bias: number },
    keyPages: readonly Page[],
    valuePages: readonly Page[],
    visit: (slice: Slice) => void,
  ): void {
    const { kernels, pool } = this
    const entry = PAGE_ENTRY * 4
    const bytes = (keyPages.length + valuePages.length) * entry
    const keyTable = pool.malloc(bytes)
    const valueTable = keyTable + keyPages.length * entry
    writeTable(kernels, keyTable, keyPages)
    writeTable(kernels, valueTable, valuePages)
    const { logitScale, logWeight } = segment
    const rows = {
      keyTable,
      keyPages: keyPages.length,
      valueTable,
      valuePages: valuePages.length,
      rows: at.count,
      bias: at.bias,
      logitScale,
      logWeight,
    }
    visit({ rows, start: at.start, causal: at.causal })
    pool.free(keyTable, bytes)
  }

  /** All keys or values as float32 [rows][headDim], a copy; pages that are away are read without coming home. */
  async load(part: 'keys' | 'values'): Promise<Float32Array> {
    const { headDim, pool, kernels, rows } = this
    const bytes = rows * headDim * 4
    const scratch = pool.malloc(bytes)
    try {
      let start = 0
      for (const segment of this.segments) {
        const at = scratch + start * headDim * 4
        await segment[part].load(0, segment[part].rows, at)
        if (part === 'keys') this.rotate(segment, 0, segment.keys.rows, at, start)
        start += segment[part].rows
      }
      return kernels.heap.f32.slice(scratch >> 2, (scratch + bytes) >> 2)
    } finally {
      pool.free(scratch, bytes)
    }
  }

  /** What `load` gives, of pages that are all in memory. */
  read(part: 'keys' | 'values'): Float32Array {
    const { headDim, pool, kernels, rows } = this
    const bytes = rows * headDim * 4
    const scratch = pool.malloc(bytes)
    let start = 0
    for (const segment of this.segments) {
      const at = scratch + start * headDim * 4
      segment[part].decodeRows(0, segment[part].rows, at)
      if (part === 'keys') this.rotate(segment, 0, segment.keys.rows, at, start)
      start += segment[part].rows
    }
    const out = kernels.heap.f32.slice(scratch >> 2, (scratch + bytes) >> 2)
    pool.free(scratch, bytes)
    return out
  }

  /**
   * Rotates keys that were just decoded to `address`, those of a segment's rows `first .. first+count`, if its codec keeps them unrotated.
   * `row`: the first one's number in the head.
   */
  private rotate({ storage, keys }: Segment, first: number, count: number, address: number, row: number): void {
    const packed = Math.min(count, keys.packed - first)
    if (!this.classes[storage].keys.unrotated || packed <= 0) return
    this.rotary!.turnRows(this.kernels, address, this.columns.get('position').subarray(row, row + packed), false)
  }

  /** Drops all rows but `keep` (ascending). */
  async retain(keep: Uint32Array): Promise<void> {
    if (keep.length === this.rows) return
    let start = 0,
      at = 0
    for (const { keys, values } of this.segments) {
      const end = start + keys.rows
      const from = at
      while (at < keep.length && keep[at] < end) at++
      const kept = keep.subarray(from, at).map((row) => row - start)
      for (const list of [keys, values]) {
        if (list.away) await list.bringHome((first, rows) => losesSome(kept, first, rows))
        list.retain(kept)
      }
      start = end
    }
    this.columns.reorder(keep)
  }

  /** Undoes an append, also one that failed half-way. */
  truncate(rows: number): void {
    const { arrivals } = this
    const others = this.segments.reduce((sum, segment) => sum + (segment === arrivals ? 0 : segment.keys.rows), 0)
    for (const list of [arrivals.keys, arrivals.values]) list.truncate(rows - others)
    if (this.columns.rows > rows) this.columns.reorder(Uint32Array.from({ length: rows }, (_, i) => i))
  }

  /**
   * Moves arrivals to other storage classes: `storage[i]` is the class of row i. Packed ones stay where they are, unless `unpack` says that
   * they may be decoded for it.
   */
  async assign(storage: Uint8Array, unpack: boolean): Promise<void> {
    const { arrivals } = this
    const first = this.rows - arrivals.keys.rows
    const movable = first + (unpack ? 0 : Math.max(arrivals.keys.packed, arrivals.values.packed))
    if (storage.subarray(movable).every((wanted) => wanted === arrivals.storage)) return
    const rowsOf = (wanted: number): number[] => {
      const rows: number[] = []
      for (let row = movable; row < this.rows; row++) if (storage[row] === wanted) rows.push(row)
      return rows
    }
    const stays = (row: number): boolean => row < movable || storage[row] === arrivals.storage
    const order: number[] = []
    let start = 0
    for (const segment of this.segments) {
      const moved = segment === arrivals ? [] : rowsOf(segment.storage)
      const end = start + segment.keys.rows
      for (let row = start; row < end; row++) if (stays(row)) order.push(row)
      await this.move(
        moved.map((row) => row - first),
        segment,
        first,
      )
      order.push(...moved)
      start = end
    }
    const stay: number[] = []
    for (let row = first; row < this.rows; row++) if (stays(row)) stay.push(row - first)
    const kept = Uint32Array.from(stay)
    for (const list of [arrivals.keys, arrivals.values]) {
      if (list.away) await list.bringHome((from, rows) => losesSome(kept, from, rows))
      list.retain(kept)
    }
    this.columns.reorder(Uint32Array.from(order))
  }

  /** `first`: the number that the first arrival had in the head before any moved. */
  private async move(rows: number[], segment: Segment, first: number): Promise<void> {
    const { headDim, pool, kernels } = this
    const bytes = headDim * 4
    const scratch = pool.malloc(bytes)
    for (const row of rows) {
      for (const part of ['keys', 'values'] as const) {
        await this.arrivals[part].load(row, 1, scratch)
        if (part === 'keys') this.rotate(this.arrivals, row, 1, scratch, first + row)
        segment[part].append(1, (_, __, address) => kernels.heap.u8.copyWithin(address, scratch, scratch + bytes))
      }
    }
    pool.free(scratch, bytes)
  }

  /** Packs what the flush rule says; classes other than the arrivals' are packed whole. */
  pack(encoder: Encoder): void {
    const positions = this.columns.get('position')
    let start = 0
    for (const segment of this.segments) {
      const { keys, values } = this.classes[segment.storage]
      const flush = segment === this.arrivals ? encoder.flush : undefined
      const first = start + segment.keys.packed
      const count = dueRows(segment.keys, flush?.keys)
      const unrotate = (address: number): void =>
        this.rotary!.turnRows(this.kernels, address, positions.subarray(first, first + count), true)
      segment.keys.pack(count, keys, keys.unrotated ? unrotate : undefined)
      segment.values.pack(dueRows(segment.values, flush?.values), values)
      start += segment.keys.rows
    }
  }

  /** Arrivals whose keys are to be packed now. */
  due(encoder: Encoder): number {
    return dueRows(this.arrivals.keys, encoder.flush.keys)
  }

  share(): Head {
    const { kernels, pool, headDim, rotary, classes } = this
    const copy = new Head({ kernels, pool, headDim, rotary }, [], classes)
    copy.columns = this.columns.copy()
    copy.segments = this.segments.map((s) => ({ ...s, keys: s.keys.share(), values: s.values.share() }))
    return copy
  }

  dispose(): void {
    for (const list of this.lists) list.dispose()
    this.columns.reorder(new Uint32Array(0))
  }
}

/** Rows that are to be packed now: as the rule says, or all. */
function dueRows({ rows, packed }: PageList, rule: FlushRule['keys'] | undefined): number {
  const unpacked = rows - packed
  if (!rule) return unpacked
  const { keep, step } = rule
  return unpacked < keep + step ? 0 : Math.floor((unpacked - keep) / step) * step
}

/** True if some but not all rows of the page are kept. */
function losesSome(kept: Uint32Array, first: number, rows: number): boolean {
  let count = 0
  for (const row of kept) if (row >= first && row < first + rows) count++
  return count > 0 && count < rows
}

/** Pages over `count` float32 rows in scratch. */
function stagedPages(address: number, count: number, headDim: number): Page[] {
  const bytes = PAGE_ROWS * headDim * 4
  return Array.from({ length: Math.ceil(count / PAGE_ROWS) }, (_, i) => ({
    codec: raw32,
    capacity: PAGE_ROWS,
    bytes,
    rows: Math.min(PAGE_ROWS, count - i * PAGE_ROWS),
    refs: 1,
    address: address + i * bytes,
    key: 0,
  }))
}
