import { layoutCode, PAGE_ENTRY, type Kernels } from '@kvfold/kernels'
import type { Codec } from './axes.ts'
import { PAGE_ROWS, raw32 } from './codecs.ts'
import { partsOf, type Page, type PagePool } from './page.ts'

/** Rows are allocated in steps of eight, so that a short tail wastes little. */
export const STEP = 8

/** Writes `rows` new rows, from the `first` of those that are appended on, to an address. */
export type WriteRows = (first: number, rows: number, address: number) => void

/** The keys or the values of one segment: pages in row order, packed ones first, then unpacked ones. */
export class PageList {
  pages: Page[] = []
  rows = 0
  /** Rows in packed pages: the first ones. */
  packed = 0
  private readonly kernels: Kernels
  private readonly pool: PagePool
  private readonly headDim: number
  private tableAddress = 0
  private tableBytes = 0
  /** So many first pages are shown by the table as they are, and so many are known to be direct. */
  private shown = 0
  private known = 0
  private moves = 0

  constructor(kernels: Kernels, pool: PagePool, headDim: number) {
    this.kernels = kernels
    this.pool = pool
    this.headDim = headDim
  }

  /** Makes room for `count` unpacked rows at the end. `write` fills them, run by run. */
  append(count: number, write: WriteRows): void {
    this.changed(Math.max(0, this.pages.length - 1))
    let first = 0
    while (first < count) {
      const page = this.writableTail(count - first)
      const rows = Math.min(page.capacity - page.rows, count - first)
      write(first, rows, page.address + page.rows * this.headDim * 4)
      page.rows += rows
      this.rows += rows
      first += rows
    }
  }

  /** An unshared, unpacked last page with room. */
  private writableTail(wanted: number): Page {
    const last = this.pages.at(-1)
    const open = last !== undefined && last.codec === raw32 && last.rows < PAGE_ROWS
    if (open && last.refs === 1 && !last.key && last.rows < last.capacity) return last
    const held = open ? last.rows : 0
    const doubled = open ? Math.max(last.capacity, held + 1, Math.min(2 * last.capacity, PAGE_ROWS)) : STEP
    const capacity = Math.min(PAGE_ROWS, roundUp(Math.max(doubled, held + wanted)))
    const page = this.pool.page(raw32, capacity, this.headDim)
    if (open) {
      this.copyRows(last, 0, page, 0, held)
      page.rows = held
      this.pages.pop()
      this.pool.release(last)
    }
    this.pages.push(page)
    return page
  }

  /** Drops the rows from `rows` on (undoes an append). */
  truncate(rows: number): void {
    if (rows < this.rows) this.retain(Uint32Array.from({ length: rows }, (_, i) => i))
  }

  /**
   * Keeps only the rows `keep` (ascending). Pages that lose nothing stay as they are, shared ones too. Rows of separable codecs are
   * laid densely into new pages; a packed group only shrinks, its scale and codes are never computed anew.
   */
  retain(keep: Uint32Array): void {
    if (keep.length === this.rows) return
    const before = this.pages
    this.pages = []
    this.rows = this.packed = 0
    let pending: { page: Page; kept: Uint32Array }[] = []
    const flush = (): void => {
      this.relay(pending)
      pending = []
    }
    let at = 0,
      start = 0
    for (const page of before) {
      const from = at
      while (at < keep.length && keep[at] < start + page.rows) at++
      const kept = keep.subarray(from, at).map((row) => row - start)
      start += page.rows
      const separable = partsOf(page.codec.layout, page.codec, this.headDim).shared === 0
      if (pending.length > 0 && pending[0].page.codec !== page.codec) flush()
      if (kept.length === 0) this.pool.release(page)
      else if (kept.length === page.rows && (!separable || page.rows === page.codec.pageRows(this.headDim))) {
        flush()
        this.push(page)
      } else if (separable) pending.push({ page, kept })
      else {
        flush()
        this.push(this.shrunk(page, kept))
      }
    }
    flush()
    this.changed()
  }

  /** Takes a page at the end, and with it what the caller held of it. */
  push(page: Page): void {
    this.pages.push(page)
    this.rows += page.rows
    if (page.codec !== raw32) this.packed += page.rows
  }

  /** Lays the kept rows of some pages of one separable codec densely into new pages. */
  private relay(sources: { page: Page; kept: Uint32Array }[]): void {
    if (sources.length === 0) return
    if (sources.length === 1 && sources[0].kept.length === sources[0].page.rows) return this.push(sources[0].page)
    const { codec } = sources[0].page
    const full = codec.pageRows(this.headDim)
    let left = sources.reduce((sum, s) => sum + s.kept.length, 0)
    const targets: Page[] = []
    for (; left > 0; left -= full) {
      const page = this.pool.page(codec, Math.min(full, roundUp(left)), this.headDim)
      page.rows = Math.min(full, left)
      targets.push(page)
    }
    this.gather(sources, targets)
    for (const { page } of sources) this.pool.release(page)
    for (const page of targets) this.push(page)
  }

  private gather(sources: { page: Page; kept: Uint32Array }[], targets: Page[]): void {
    const { kernels, pool } = this
    const count = targets.reduce((sum, page) => sum + page.rows, 0)
    const entry = PAGE_ENTRY * 4
    const bytes = (sources.length + targets.length) * entry + count * 4
    const scratch = pool.malloc(bytes)
    const into = scratch + sources.length * entry
    const indices = into + targets.length * entry
    writeTable(
      kernels,
      scratch,
      sources.map((s) => s.page),
    )
    writeTable(kernels, into, targets)
    const view = kernels.heap.i32
    let at = indices >> 2,
      start = 0
    for (const { page, kept } of sources) {
      for (const row of kept) view[at++] = start + row
      start += page.rows
    }
    const { codec } = targets[0]
    for (const { base, width } of partsOf(codec.layout, codec, this.headDim).parts)
      kernels.gather(scratch, sources.length, into, targets.length, indices, count, base, width)
    pool.free(scratch, bytes)
  }

  /** A smaller page with some rows of a packed group: the same codes, the same scales. */
  private shrunk(page: Page, kept: Uint32Array): Page {
    const small = this.pool.page(page.codec, kept.length, this.headDim)
    kept.forEach((row, i) => this.copyRows(page, row, small, i, 1))
    small.rows = kept.length
    const { shared } = partsOf(page.codec.layout, page.codec, this.headDim)
    const end = page.address + page.bytes
    this.kernels.heap.u8.copyWithin(small.address + small.bytes - shared, end - shared, end)
    this.pool.release(page)
    return small
  }

  /** Copies rows between pages of one codec, without what the rows share. */
  private copyRows(from: Page, start: number, into: Page, at: number, count: number): void {
    const { u8 } = this.kernels.heap
    for (const { base, width } of partsOf(from.codec.layout, from.codec, this.headDim).parts) {
      const source = from.address + base * from.capacity + start * width
      u8.copyWithin(into.address + base * into.capacity + at * width, source, source + count * width)
    }
  }

  /** Packs the oldest `count` unpacked rows, as `change` leaves a copy of them. */
  pack(count: number, codec: Codec, change?: (address: number) => void): void {
    if (count <= 0 || codec === raw32) return
    const { kernels, pool, headDim } = this
    const firstRaw = this.pages.findIndex((page) => page.codec === raw32)
    this.changed(Math.max(0, firstRaw - 1))
    const raw = this.pages.splice(firstRaw)
    const bytes = count * headDim * 4
    // Rows of one page that nothing changes are packed from where they lie.
    const inPlace = !change && raw[0].rows >= count
    const from = inPlace ? raw[0].address : pool.malloc(bytes)
    const rest: { page: Page; dropped: number }[] = []
    let done = 0
    for (const page of raw) {
      const rows = Math.min(page.rows, count - done)
      if (!inPlace) kernels.heap.u8.copyWithin(from + done * headDim * 4, page.address, page.address + rows * headDim * 4)
      done += rows
      if (inPlace || rows < page.rows) rest.push({ page, dropped: rows })
      else pool.release(page)
    }
    change?.(from)
    for (let at = 0; at < count;) at += this.packInto(from + at * headDim * 4, count - at, codec)
    if (!inPlace) pool.free(from, bytes)
    this.packed += count
    for (const { page, dropped } of rest) {
      this.rows -= page.rows - dropped
      this.pushRest(page, dropped)
    }
  }

  /** Takes back an unpacked page without its first rows: the others move up where they lie, unless the page is shared or can be smaller. */
  private pushRest(page: Page, dropped: number): void {
    const left = page.rows - dropped
    if (left === 0) return this.pool.release(page)
    if (dropped > 0) {
      if (page.refs > 1 || page.key || roundUp(left) < page.capacity)
        return this.relay([{ page, kept: Uint32Array.from({ length: left }, (_, i) => dropped + i) }])
      const width = this.headDim * 4
      this.kernels.heap.u8.copyWithin(page.address, page.address + dropped * width, page.address + page.rows * width)
      page.rows = left
    }
    this.push(page)
  }

  /** Packs up to one page of rows; continues an open page of a separable codec. Returns the rows packed. */
  private packInto(from: number, count: number, codec: Codec): number {
    const { headDim, pool } = this
    const full = codec.pageRows(headDim)
    const separable = partsOf(codec.layout, codec, headDim).shared === 0
    let last = this.pages.at(-1)
    if (!separable || last?.codec !== codec || last.rows === full) {
      const page = pool.page(codec, Math.min(full, separable ? roundUp(count) : count), headDim)
      this.pages.push(page)
      last = page
    } else if (last.refs > 1 || last.key || last.rows === last.capacity) {
      const grown = Math.min(full, roundUp(Math.max(last.rows + count, Math.min(2 * last.capacity, full))))
      const page = pool.page(codec, grown, headDim)
      this.copyRows(last, 0, page, 0, last.rows)
      page.rows = last.rows
      this.pages[this.pages.length - 1] = page
      pool.release(last)
      last = page
    }
    const rows = Math.min(last.capacity - last.rows, count)
    this.encode(from, rows, last)
    last.rows += rows
    return rows
  }

  private encode(from: number, rows: number, page: Page): void {
    const { kernels, headDim, pool } = this
    const { codec } = page
    const own = (start: number, width: number, shared: number, end: number): void => {
      const { f32, u8 } = kernels.heap
      const numbers = f32.slice(from >> 2, (from >> 2) + rows * headDim)
      codec.encode!(numbers, rows, headDim, u8.subarray(start, start + rows * width), u8.subarray(end - shared, end))
    }
    if (codec.layout === 'opaque') {
      const { parts, shared } = partsOf('opaque', codec, headDim)
      own(page.address + page.rows * parts[0].width, parts[0].width, shared, page.address + page.bytes)
    } else if (page.rows === 0 && !codec.encode) kernels.quantize(from, rows, headDim, codec.layout, page.address, page.capacity)
    else {
      const bytes = codec.bytes(rows, headDim)
      const part: Page = { codec, capacity: rows, bytes, rows, refs: 1, address: pool.malloc(bytes), key: 0 }
      if (codec.encode) own(part.address, bytes / rows, 0, part.address)
      else kernels.quantize(from, rows, headDim, codec.layout, part.address, rows)
      this.copyRows(part, 0, page, page.rows, rows)
      pool.free(part.address, bytes)
    }
  }

  /** All rows as float32 [rows][headDim], a copy. All pages must be in memory. */
  read(): Float32Array {
    const { headDim, pool, rows } = this
    const bytes = rows * headDim * 4
    if (bytes === 0) return new Float32Array(0)
    const scratch = pool.malloc(bytes)
    this.decodeRows(0, rows, scratch)
    const out = this.kernels.heap.f32.slice(scratch >> 2, (scratch + bytes) >> 2)
    pool.free(scratch, bytes)
    return out
  }

  /** Writes the rows `start .. start+count`, which are in memory, as float32 to `into`. */
  decodeRows(start: number, count: number, into: number): void {
    for (const { page, from, rows, skip } of this.between(start, count))
      this.decode(page, page.address, from, rows, into + skip * this.headDim * 4)
  }

  /** Writes the rows `start .. start+count` as float32 to `into`. Pages that are away come back only for this. */
  async load(start: number, count: number, into: number): Promise<void> {
    for (const { page, from, rows, skip } of this.between(start, count)) {
      const address = page.address || (await this.pool.fetch(page))
      this.decode(page, address, from, rows, into + skip * this.headDim * 4)
      if (!page.address) this.pool.free(address, page.bytes)
    }
  }

  /** The pages that hold the rows `start .. start+count`: of each the rows from `from` on, and how many of those wanted come before. */
  private *between(start: number, count: number): Generator<{ page: Page; from: number; rows: number; skip: number }> {
    let first = 0
    for (const page of this.pages) {
      const from = Math.max(start, first),
        to = Math.min(start + count, first + page.rows)
      if (from < to) yield { page, from: from - first, rows: to - from, skip: from - start }
      first += page.rows
    }
  }

  private decode(page: Page, address: number, start: number, count: number, into: number): void {
    const { kernels, headDim } = this
    const { codec, capacity } = page
    if (codec.layout === 'opaque') {
      const { parts, shared } = partsOf('opaque', codec, headDim)
      const first = address + start * parts[0].width,
        end = address + page.bytes
      const { f32, u8 } = kernels.heap
      const out = f32.subarray(into >> 2, (into >> 2) + count * headDim)
      codec.decode!(u8.subarray(first, first + count * parts[0].width), count, headDim, out, u8.subarray(end - shared, end))
    } else kernels.dequantize(address, capacity, codec.layout, start, count, headDim, into)
  }

  /** Overwrites one unpacked row. A shared page is copied first. */
  write(row: number, values: Float32Array): void {
    let start = 0
    for (let i = 0; i < this.pages.length; i++) {
      const { rows } = this.pages[i]
      if (row < start + rows) {
        this.kernels.heap.f32.set(values, (this.writable(i).address >> 2) + (row - start) * this.headDim)
        return
      }
      start += rows
    }
  }

  /** Lets `change` rewrite pages in place, those that it `wants`. Shared ones are copied first; all must be unpacked and in memory. */
  rewrite(change: (first: number, rows: number, address: number) => void, wants: (first: number, rows: number) => boolean): void {
    let first = 0
    for (let i = 0; i < this.pages.length; i++) {
      const { rows } = this.pages[i]
      if (wants(first, rows)) change(first, rows, this.writable(i).address)
      first += rows
    }
  }

  /** Page `i`, which nobody else holds: a copy if need be. */
  private writable(i: number): Page {
    const page = this.pages[i]
    if (page.refs === 1 && !page.key) return page
    const copy = this.pool.page(page.codec, page.capacity, this.headDim)
    this.copyRows(page, 0, copy, 0, page.rows)
    copy.rows = page.rows
    this.pages[i] = copy
    this.pool.release(page)
    this.changed()
    return copy
  }

  /** The address of the page table. The list must be `direct`. A step adds a row: its page is all that is written then. */
  table(): number {
    const bytes = tableBytes(this.pages.length)
    if (bytes !== this.tableBytes) this.reserveTable(bytes)
    this.checkMoves()
    writeTable(this.kernels, this.tableAddress, this.pages, this.shown)
    this.shown = this.pages.length
    return this.tableAddress
  }

  /** What was found out about the pages from `first` on holds no longer. */
  private changed(first: number = 0): void {
    this.shown = Math.min(this.shown, first)
    this.known = Math.min(this.known, first)
  }

  private checkMoves(): void {
    if (this.moves !== this.pool.moves) this.changed()
    this.moves = this.pool.moves
  }

  /** Takes the memory of a table of so many bytes ahead of its pages' first reading. */
  reserveTable(bytes: number): void {
    this.freeTable()
    if (bytes > 0) this.tableAddress = this.pool.malloc(bytes)
    this.tableBytes = bytes
  }

  get indexBytes(): number {
    return this.tableBytes
  }

  /** True if the kernels can read every page where it lies. */
  get direct(): boolean {
    this.checkMoves()
    const { pages } = this
    while (this.known < pages.length && pages[this.known].address !== 0 && pages[this.known].codec.layout !== 'opaque') this.known++
    return this.known === pages.length
  }

  get away(): boolean {
    return this.pages.some((page) => page.address === 0)
  }

  /** The rows `row .. row+count`, which must be unpacked and in memory, as pages to be read. Default: all from `row` on. */
  span(row: number, count: number = Infinity): Page[] {
    const pages: Page[] = []
    let first = 0
    for (const page of this.pages) {
      const skip = Math.max(0, row - first)
      const rows = Math.min(page.rows - skip, row + count - first - skip)
      if (rows > 0) pages.push({ ...page, address: page.address + skip * this.headDim * 4, rows, capacity: page.capacity - skip })
      first += page.rows
    }
    return pages
  }

  /** Brings home the pages that are away and that `needed` says are needed: a copy in memory takes their place. */
  async bringHome(needed: (firstRow: number, rows: number) => boolean): Promise<void> {
    let first = 0
    for (let i = 0; i < this.pages.length; i++) {
      const page = this.pages[i]
      if (!page.address && needed(first, page.rows)) {
        this.pages[i] = { ...page, refs: 1, key: 0, address: await this.pool.fetch(page) }
        this.pool.release(page)
        this.changed()
      }
      first += page.rows
    }
  }

  share(): PageList {
    const copy = new PageList(this.kernels, this.pool, this.headDim)
    copy.pages = [...this.pages]
    for (const page of copy.pages) page.refs++
    copy.rows = this.rows
    copy.packed = this.packed
    return copy
  }

  dispose(): void {
    for (const page of this.pages) this.pool.release(page)
    this.pages = []
    this.rows = this.packed = 0
    this.freeTable()
  }

  private freeTable(): void {
    if (this.tableBytes > 0) this.pool.free(this.tableAddress, this.tableBytes)
    this.tableBytes = 0
    this.tableAddress = 0
    this.changed()
  }
}

/** Writes a page table for the kernels, from page `first` on. */
export function writeTable(kernels: Kernels, address: number, pages: readonly Page[], first: number = 0): void {
  const view = kernels.heap.i32
  for (let i = first; i < pages.length; i++) {
    const { address: at, rows, codec, capacity } = pages[i]
    const entry = (address >> 2) + i * PAGE_ENTRY
    view[entry] = at
    view[entry + 1] = rows
    view[entry + 2] = codec.layout === 'opaque' ? 0 : layoutCode(codec.layout)
    view[entry + 3] = capacity
  }
}

/** Bytes of the table of so many pages. */
export function tableBytes(pages: number): number {
  return roundUp(pages) * PAGE_ENTRY * 4
}

export function roundUp(rows: number): number {
  return Math.ceil(rows / STEP) * STEP
}
