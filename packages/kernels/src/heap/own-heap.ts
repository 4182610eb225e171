import { KernelArgumentError, OutOfMemoryError } from '../errors.ts'
import type { WasmHeap } from '../heap.ts'
import { FreeBlocks, roundUp } from './free-blocks.ts'
import { Views } from './views.ts'
import { webAssembly, type WasmMemory } from './webassembly.ts'

const PAGE = 65536
/** The last page stays unused, so that an address plus a size never wraps around 2^32. */
const MAX_PAGES = 65535

/** A growable memory of our own. `limit` (bytes) bounds it; by default it may grow to almost 4 GiB. */
export function ownHeap(options: { limit?: number } = {}): WasmHeap {
  return heapOf(options.limit, false)
}

/** The same in a memory that threads share. Its views are over a SharedArrayBuffer, which some APIs refuse: give them a `slice`. */
export function sharedHeap(options: { limit?: number } = {}): WasmHeap {
  return heapOf(options.limit, true)
}

function heapOf(limit: number = MAX_PAGES * PAGE, shared: boolean): WasmHeap {
  const maximum = Math.min(MAX_PAGES, Math.max(1, Math.ceil(limit / PAGE)))
  return new OwnHeap(new webAssembly.Memory({ initial: 1, maximum, shared }), maximum * PAGE)
}

class OwnHeap extends Views implements WasmHeap {
  live = 0
  readonly #limit: number
  readonly #free = new FreeBlocks()
  /** By address: the bytes asked for. */
  readonly #asked: Map<number, number> = new Map()
  /** Everything from here on is untouched. Address 0 is never handed out: it means "none". */
  #top = 16

  constructor(memory: WasmMemory, limit: number) {
    super(memory)
    this.#limit = limit
  }

  malloc(bytes: number): number {
    const address = this.reserve(bytes)
    this.#asked.set(address, bytes)
    this.live += bytes
    return address
  }

  free(address: number): void {
    const bytes = this.#asked.get(address)
    if (bytes === undefined)
      throw new KernelArgumentError(`Address ${address} was not handed out by this heap, or was freed before. Free every address once.`)
    this.#asked.delete(address)
    this.live -= bytes
    const top = this.#free.give(address, roundUp(bytes), this.#top)
    if (top !== undefined) this.#top = top
  }

  reserve(bytes: number): number {
    if (!(bytes >= 0 && bytes <= this.#limit)) throw new OutOfMemoryError(bytes, this.live)
    const size = roundUp(bytes)
    return this.#free.take(size) ?? this.#extend(size)
  }

  #extend(size: number): number {
    const address = this.#top
    const end = address + size
    if (end > this.#limit) throw new OutOfMemoryError(size, this.live)
    const have = this.memory.buffer.byteLength
    if (end > have) this.#grow(end - have, have)
    this.#top = end
    return address
  }

  /** Grows by at least an eighth, so that many small requests do not each move the memory. */
  #grow(need: number, have: number): void {
    const most = (this.#limit - have) / PAGE
    const wish = Math.min(most, Math.ceil(Math.max(need, have / 8) / PAGE))
    for (const pages of [wish, Math.ceil(need / PAGE)]) {
      try {
        this.memory.grow(pages)
        return
      } catch {
        // The machine has no room for that much; the second try asks for the bare minimum.
      }
    }
    throw new OutOfMemoryError(need, this.live)
  }
}
