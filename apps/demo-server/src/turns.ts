/** Milliseconds of work after which others go first. A decode step of the reference model takes 7. */
const SLICE = 10

/**
 * One thread for many: whoever runs lets the others go first when its slice is over, in the order in which they asked, and events are
 * handled between two slices. A slice ends only where `next` is called, so that nobody meets another in the middle of a step.
 */
export class Turns {
  private readonly waiting: (() => void)[] = []
  private taken = false
  private since = 0

  /** Runs `work` when its turn has come. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.take()
    try {
      return await work()
    } finally {
      this.give()
    }
  }

  /** Within `run`: a place where others may go first. */
  async next(): Promise<void> {
    if (performance.now() - this.since < SLICE) return
    this.give()
    await this.take()
  }

  private async take(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.waiting.push(resolve)
      this.pass()
    })
  }

  private give(): void {
    this.taken = false
    this.pass()
  }

  private pass(): void {
    const next = this.taken ? undefined : this.waiting.shift()
    if (!next) return
    this.taken = true
    setImmediate(() => {
      this.since = performance.now()
      next()
    })
  }
}
