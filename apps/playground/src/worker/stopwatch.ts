/** Milliseconds of work, without the pauses in it. */
export class Stopwatch {
  private before = 0
  private since: number | undefined

  start(): void {
    this.since = performance.now()
  }

  stop(): void {
    this.before = this.ms
    this.since = undefined
  }

  get ms(): number {
    return this.before + (this.since === undefined ? 0 : performance.now() - this.since)
  }

  /** Counts what `work` takes. */
  async time<T>(work: () => Promise<T>): Promise<T> {
    this.start()
    try {
      return await work()
    } finally {
      this.stop()
    }
  }
}
