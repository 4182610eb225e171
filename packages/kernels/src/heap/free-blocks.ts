const ALIGN = 16
/** Blocks of one bin that are looked at before a larger bin is tried. */
const TRIES = 16

/** Rounds a size up to whole units of alignment; nothing is smaller than one unit. */
export function roundUp(bytes: number): number {
  return Math.max(ALIGN, Math.ceil(bytes / ALIGN) * ALIGN)
}

/**
 * The free blocks of a heap, binned by powers of two, merged with their neighbours as they come back.
 * Sets keep insertion order and delete in constant time, which makes them good free lists.
 */
export class FreeBlocks {
  readonly #bins: Set<number>[] = []
  readonly #sizes: Map<number, number> = new Map()
  readonly #starts: Map<number, number> = new Map()

  constructor() {
    for (let bin = 0; bin < 32; bin++) this.#bins.push(new Set())
  }

  /** Takes `size` bytes (a multiple of the alignment) from a free block, or undefined. */
  take(size: number): number | undefined {
    let tries = TRIES
    for (let bin = binOf(size); bin < 32; bin++) {
      for (const address of this.#bins[bin]) {
        const found = this.#sizes.get(address)!
        if (found >= size) {
          this.#remove(address, found)
          if (found > size) this.#insert(address + size, found - size)
          return address
        }
        if (--tries === 0) break
      }
      tries = TRIES
    }
    return undefined
  }

  /** Returns a block; the merged block that it became is kept, unless it ends at `top`: then its address is returned. */
  give(address: number, size: number, top: number): number | undefined {
    const after = this.#sizes.get(address + size)
    if (after !== undefined) {
      this.#remove(address + size, after)
      size += after
    }
    const before = this.#starts.get(address)
    if (before !== undefined) {
      const length = this.#sizes.get(before)!
      this.#remove(before, length)
      address = before
      size += length
    }
    if (address + size === top) return address
    this.#insert(address, size)
    return undefined
  }

  #insert(address: number, size: number): void {
    this.#bins[binOf(size)].add(address)
    this.#sizes.set(address, size)
    this.#starts.set(address + size, address)
  }

  #remove(address: number, size: number): void {
    this.#bins[binOf(size)].delete(address)
    this.#sizes.delete(address)
    this.#starts.delete(address + size)
  }
}

function binOf(size: number): number {
  return 31 - Math.clz32(size)
}
