import type { SymbolTable } from './symbol-table.ts'

const QUARTER = 2 ** 30

/**
 * Codes symbols one after another, each by its table, as CacheGen's coder does (arXiv 2310.07240; its published code, after torchac): an
 * interval with 32-bit ends narrows to each symbol's share of 65,536 parts; bits that both ends have in common leave, and those of an
 * interval about the middle wait (`pending`) until it is known on which side they fall. Ends are 32 bits as signed numbers, which is faster.
 */
export class ArithmeticEncoder {
  private low = 0
  private high = -1
  private pending = 0
  private out: Uint8Array = new Uint8Array(1024)
  private length = 0
  /** Bits that are no whole byte yet. */
  private held = 0
  private heldBits = 0

  /** Codes `symbols[from .. to]`, each of which the table must know. */
  encode(symbols: Uint8Array, from: number, to: number, { first, cumulative }: SymbolTable): void {
    // No symbol takes more than 18 bits, and what is pending comes on top.
    this.reserve(Math.ceil(((to - from) * 18 + this.pending) / 8) + 16)
    let { low, high } = this
    for (let i = from; i < to; i++) {
      const at = symbols[i] - first
      const width = (high - low) | 0
      high = (low + partOf(width, cumulative[at + 1]) - 1) | 0
      low = (low + partOf(width, cumulative[at])) | 0
      const same = Math.clz32(low ^ high)
      if (same > 0) {
        this.put(low, same)
        low <<= same
        high = (high << same) | ((1 << same) - 1)
      }
      // Ends that begin with 01 and 10: as many bits as go on with 1 and with 0 are pending.
      const near = Math.clz32(~((low & ~high) << 1))
      if (near > 0) {
        this.pending += near
        low = (low << near) & 0x7fffffff
        high = (high << near) | ((1 << near) - 1) | -0x80000000
      }
    }
    this.low = low
    this.high = high
  }

  /** What was coded, as whole bytes. Nothing may follow. */
  finish(): Uint8Array {
    this.reserve(Math.ceil(this.pending / 8) + 16)
    this.pending++
    this.put(this.low >>> 0 < QUARTER ? 0 : -1, 1)
    if (this.heldBits > 0) this.out[this.length++] = this.held << (8 - this.heldBits)
    return this.out.slice(0, this.length)
  }

  /** Appends the first `count` bits of 32, and after the first of them as many of its opposite as are pending. */
  private put(bits: number, count: number): void {
    const first = bits >>> 31
    this.bit(first)
    for (; this.pending > 0; this.pending--) this.bit(1 - first)
    for (let at = 1; at < count; at++) this.bit((bits >>> (31 - at)) & 1)
  }

  private bit(bit: number): void {
    this.held = (this.held << 1) | bit
    if (++this.heldBits < 8) return
    this.out[this.length++] = this.held
    this.held = this.heldBits = 0
  }

  private reserve(bytes: number): void {
    if (this.length + bytes <= this.out.length) return
    const larger = new Uint8Array(Math.max(this.out.length * 2, this.length + bytes))
    larger.set(this.out.subarray(0, this.length))
    this.out = larger
  }
}

/** Reads what ArithmeticEncoder wrote, with the same tables in the same order. Any bytes give some symbols: `ended` tells whether they were its. */
export class ArithmeticDecoder {
  private low = 0
  private high = -1
  private code: number
  private readonly bytes: Uint8Array
  private at = 4
  private held = 0
  private heldBits = 0
  /** Bits that left the interval. */
  private taken = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.code = 0
    for (let i = 0; i < 4; i++) this.code = (this.code << 8) | (bytes[i] ?? 0)
  }

  /** Fills `symbols[from .. to]`. */
  decode(symbols: Uint8Array, from: number, to: number, { first, cumulative, starts }: SymbolTable): void {
    const { bytes } = this
    let { low, high, code, at, held, heldBits, taken } = this
    for (let i = from; i < to; i++) {
      const width = (high - low) | 0
      const share = (((((code - low) >>> 0) + 1) * 65536 - 1) / ((width >>> 0) + 1)) | 0
      let symbol = starts[share >>> 8]
      while (cumulative[symbol + 1] <= share) symbol++
      symbols[i] = first + symbol
      high = (low + partOf(width, cumulative[symbol + 1]) - 1) | 0
      low = (low + partOf(width, cumulative[symbol])) | 0
      const same = Math.clz32(low ^ high)
      low <<= same
      high = (high << same) | ((1 << same) - 1)
      const near = Math.clz32(~((low & ~high) << 1))
      const bits = same + near
      if (bits === 0) continue
      taken += bits
      // An interval of 2^30 or more has narrowed to one of 2^14 or more: no more than 18 bits left it.
      while (heldBits < bits) {
        held = (held << 8) | (at < bytes.length ? bytes[at] : 0)
        at++
        heldBits += 8
      }
      heldBits -= bits
      code = (code << bits) | ((held >>> heldBits) & ((1 << bits) - 1))
      if (near > 0) {
        code ^= -0x80000000
        low = (low << near) & 0x7fffffff
        high = (high << near) | ((1 << near) - 1) | -0x80000000
      }
    }
    Object.assign(this, { low, high, code, at, held, heldBits, taken })
  }

  /** True if the bytes end where an encoder of what was decoded would have ended. */
  get ended(): boolean {
    return this.bytes.length === Math.ceil((this.taken + 2) / 8)
  }
}

/** An interval's part of so many of 65,536, rounded down; `width` is its own less 1. All numbers are 32 bits, signed or not. */
function partOf(width: number, parts: number): number {
  const low = (width + 1) & 0xffff
  // Where the low half is full, the 1 goes to the upper one.
  const high = (width >>> 16) + (low === 0 ? 1 : 0)
  return (Math.imul(high, parts) + (Math.imul(low, parts) >>> 16)) | 0
}
