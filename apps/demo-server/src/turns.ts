/** Milliseconds of work after which others go first. A decode step of the reference model takes 7. */
const SLICE = 5

/** Reading a prompt, or making a token. */
export type Kind = 'prompt' | 'token'

/**
 * One thread for many: whoever runs lets the others go first when its slice is over, in the order in which they asked. Slices of prompts
 * and of tokens alternate, so that many long prompts hold up no stream. Events are handled between two slices. A slice ends only where
 * `next` is called, so that nobody meets another in the middle of a step.
 */
export class Turns {
  private readonly waiting: Record<Kind, (() => void)[]> = { prompt: [], token: [] }
  private taken = false
  private last: Kind = 'prompt'
  private since = 0

  /** Runs `work` when its turn has come. */
  async run<T>(kind: Kind, work: () => Promise<T>): Promise<T> {
    await this.take(kind)
    try {
      return await work()
    } finally {
      this.give()
    }
  }

  /** Within `run`: a place where others may go first. */
  async next(): Promise<void> {
    if (performance.now() - this.since < SLICE) return
    const kind = this.last
    this.give()
    await this.take(kind)
  }

  private async take(kind: Kind): Promise<void> {
    await new Promise<void>((resolve) => {
      this.waiting[kind].push(resolve)
      this.pass()
    })
  }

  private give(): void {
    this.taken = false
    this.pass()
  }

  private pass(): void {
    if (this.taken) return
    const { prompt, token } = this.waiting
    const kind = this.last === 'prompt' ? (token.length > 0 ? 'token' : 'prompt') : prompt.length > 0 ? 'prompt' : 'token'
    const next = this.waiting[kind].shift()
    if (!next) return
    this.taken = true
    this.last = kind
    setImmediate(() => {
      this.since = performance.now()
      next()
    })
  }
}
