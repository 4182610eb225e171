import type { Heap, Layout } from '@kvfold/kernels'
import type { Codec, Tier } from './axes.ts'
import { TierError } from './errors.ts'

/** Up to 64 rows of keys or of values of one head in one codec: the unit of allocation, sharing and offload. */
export interface Page {
  readonly codec: Codec
  readonly capacity: number
  readonly bytes: number
  rows: number
  /** Lists that hold the page. A shared page is never written. */
  refs: number
  /** Where it lies in the heap; 0 while it is away on a tier. */
  address: number
  /** Its key on the tier; 0 if it never left. A page that has one is never written. */
  key: number
}

/** Allocates, shares and frees pages; knows the bytes alive and their peak. */
export class PagePool {
  readonly heap: Heap
  /** Bytes held now by pages and by whatever else was `claim`ed, and the most there ever were. */
  live = 0
  peak = 0
  /** Bytes of pages that are away. */
  away = 0
  /** Grows whenever a page changes its place: page tables made before are stale. */
  moves = 0
  private tier: Tier | undefined
  private nextKey = 1
  private late: Promise<void>[] = []

  constructor(heap: Heap) {
    this.heap = heap
  }

  /** Counts bytes that are held outside pages (negative to give them back). */
  claim(bytes: number): void {
    this.live += bytes
    if (this.live > this.peak) this.peak = this.live
  }

  malloc(bytes: number): number {
    const address = this.heap.malloc(bytes)
    this.claim(bytes)
    return address
  }

  free(address: number, bytes: number): void {
    this.heap.free(address)
    this.claim(-bytes)
  }

  page(codec: Codec, capacity: number, headDim: number): Page {
    const bytes = codec.bytes(capacity, headDim)
    return { codec, capacity, bytes, rows: 0, refs: 1, address: this.malloc(bytes), key: 0 }
  }

  release(page: Page): void {
    if (--page.refs > 0) return
    if (page.address) this.free(page.address, page.bytes)
    page.address = 0
    if (page.key) {
      this.away -= page.bytes
      this.settle(this.tier!.delete(page.key))
      page.key = 0
    }
  }

  /** Opens the tier that pages leave to. */
  use(open: () => Tier): void {
    this.tier ??= open()
  }

  get tierName(): string | undefined {
    return this.tier?.name
  }

  /** Writes a page to the tier and frees its memory. */
  async leave(page: Page): Promise<void> {
    const key = this.nextKey++
    await this.tier!.put(key, this.heap.u8.slice(page.address, page.address + page.bytes))
    page.key = key
    this.away += page.bytes
    this.free(page.address, page.bytes)
    page.address = 0
    this.moves++
  }

  /** Copies a page that is away to memory that the caller frees. Nobody else sees the copy. */
  async fetch(page: Page): Promise<number> {
    const bytes = new Uint8Array(page.bytes)
    await this.tier!.get(page.key, bytes)
    const address = this.malloc(page.bytes)
    this.heap.u8.set(bytes, address)
    return address
  }

  /** Waits for deletions that a tier does later; throws what they threw. */
  async settled(): Promise<void> {
    if (this.late.length === 0) return
    const late = this.late
    this.late = []
    const failed = (await Promise.allSettled(late)).find((r) => r.status === 'rejected')
    if (failed) throw new TierError('The tier could not delete pages.', { cause: failed.reason })
  }

  async close(): Promise<void> {
    await this.settled()
    await this.tier?.close()
    this.tier = undefined
  }

  private settle(done: void | Promise<void>): void {
    if (done) this.late.push(done)
  }
}

/** A run of bytes per row inside a page: `width` bytes at `base * capacity + row * width`. */
export interface Part {
  base: number
  width: number
}

/** The parts of a layout's rows, and the bytes after them that all rows share. */
export function partsOf(layout: Layout | 'opaque', codec: Codec, headDim: number): { parts: Part[]; shared: number } {
  if (layout === 'opaque') {
    const shared = codec.shared?.(headDim) ?? 0
    return { parts: [{ base: 0, width: codec.bytes(1, headDim) - shared }], shared }
  }
  if (layout.kind !== 'affine') return { parts: [{ base: 0, width: codec.bytes(1, headDim) }], shared: 0 }
  const codes = (headDim * layout.bits) / 8
  if (layout.axis === 'channel') return { parts: [{ base: 0, width: codes }], shared: headDim * 4 }
  const scales = (headDim / layout.group) * 2
  return {
    parts: [
      { base: 0, width: codes },
      { base: codes, width: scales },
      { base: codes + scales, width: scales },
    ],
    shared: layout.factors ? headDim * 2 : 0,
  }
}
