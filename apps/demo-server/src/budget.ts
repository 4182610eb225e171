import type { Heap } from '@kvfold/kernels'
import type { KvCache } from '@kvfold/kv-core'
import { BusyError, InvalidRequestError } from './errors.ts'

/** What a request may still add to what is held. */
export interface Reservation {
  /** The most bytes that the request adds. */
  bytes: number
  /** Its cache, and the bytes of that when the request began. */
  cache?: KvCache
  from: number
  release(): void
}

/**
 * Bytes for all caches together. A request starts only if the most that it may ever add is free; what it has added by then counts as held,
 * the rest stays reserved for it.
 */
export class Budget {
  readonly bytes: number
  private readonly heap: Heap
  /** What lay in the heap before there was any cache: the model's weights. */
  private readonly before: number
  private readonly running = new Set<Reservation>()
  /** Caches at rest, and what each holds outside the heap. */
  private readonly resting = new Map<KvCache, number>()
  private line: Promise<unknown> = Promise.resolve()
  /** Of the requests lately. */
  private meanSeconds = 1

  /** `heap`: where pages lie. What it holds now does not count. */
  constructor(bytes: number, heap: Heap) {
    this.bytes = bytes
    this.heap = heap
    this.before = heap.live
  }

  /** Bytes that all caches hold now: shared pages count once. */
  get held(): number {
    let columns = 0
    for (const { cache } of this.running) columns += cache?.ledger().columns ?? 0
    for (const bytes of this.resting.values()) columns += bytes
    return this.heap.live - this.before + columns
  }

  /** Bytes that requests at work may still add. */
  get reserved(): number {
    let bytes = 0
    for (const { bytes: most, cache, from } of this.running)
      bytes += Math.max(0, most - Math.max(0, (cache?.ledger().bytes ?? from) - from))
    return bytes
  }

  /** Bytes that requests at work have added and may still add. */
  private get taken(): number {
    let bytes = 0
    for (const { bytes: most } of this.running) bytes += most
    return bytes
  }

  get free(): number {
    return this.bytes - this.held - this.reserved
  }

  /**
   * Reserves bytes. `make` is called while they are not free: it gives some back, and says if it did. Throws InvalidRequestError if they
   * never are, BusyError if not now.
   */
  async reserve(bytes: number, make: () => Promise<boolean>): Promise<Reservation> {
    if (bytes > this.bytes)
      throw new InvalidRequestError(
        `This request may need ${bytes} bytes of cache, and the server has ${this.bytes}: send a shorter prompt, or a smaller max_tokens.`,
        undefined,
        'context_length_exceeded',
      )
    const turn = this.line.then(async () => {
      while (this.free < bytes) {
        // What requests at work may take stays taken, whatever rests: then nothing is given up in vain.
        const inVain = this.taken + bytes > this.bytes
        if (inVain || !(await make())) throw new BusyError(bytes, Math.min(60, Math.max(1, Math.ceil(this.meanSeconds))))
      }
      return this.reservation(bytes)
    })
    this.line = turn.catch(() => {})
    return turn
  }

  private reservation(bytes: number): Reservation {
    const start = performance.now()
    const reservation: Reservation = {
      bytes,
      from: 0,
      release: () => {
        if (this.running.delete(reservation)) this.meanSeconds += ((performance.now() - start) / 1000 - this.meanSeconds) / 8
      },
    }
    this.running.add(reservation)
    return reservation
  }

  /** Counts a cache that nobody works with. `others`: bytes that are held with it, outside the heap. */
  rest(cache: KvCache, others: number = 0): void {
    this.resting.set(cache, cache.ledger().columns + others)
  }

  /** Ends that: the cache goes, or is worked with again. */
  wake(cache: KvCache): void {
    this.resting.delete(cache)
  }
}
