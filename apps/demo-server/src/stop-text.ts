/**
 * Lets text through up to where one of some texts begins, and holds back what may be its beginning. Of texts that overlap, the one that ends first
 * counts (the longest, if several do), so that it does not matter in which pieces the text comes.
 */
export class StopText {
  /** True once one of the texts came: nothing follows. */
  ended = false
  private readonly stops: readonly string[]
  private trim: boolean
  private held = ''

  /** `trimStart`: white space before the first word is left out, and no stop is looked for in it. */
  constructor(stops: readonly string[], trimStart: boolean) {
    this.stops = stops
    this.trim = trimStart
  }

  /** What may be shown now. */
  push(text: string): string {
    if (this.ended) return ''
    this.held += text
    if (this.trim) this.held = this.held.trimStart()
    if (this.held) this.trim = false
    const found = this.stops
      .map((stop) => ({ start: this.held.indexOf(stop), length: stop.length }))
      .filter(({ start }) => start >= 0)
      .sort((a, b) => a.start + a.length - b.start - b.length || a.start - b.start)
    if (found.length > 0) {
      this.ended = true
      return this.take(found[0].start)
    }
    return this.take(this.held.length - this.waiting())
  }

  /** What was held back, when no more comes. */
  end(): string {
    return this.ended ? '' : this.take(this.held.length)
  }

  /** How many of the last characters may begin a stop. */
  private waiting(): number {
    const most = Math.min(this.held.length, Math.max(0, ...this.stops.map((stop) => stop.length - 1)))
    for (let length = most; length > 0; length--) {
      const tail = this.held.slice(-length)
      if (this.stops.some((stop) => stop.startsWith(tail))) return length
    }
    return 0
  }

  private take(count: number): string {
    const text = this.held.slice(0, count)
    this.held = this.held.slice(count)
    return text
  }
}
