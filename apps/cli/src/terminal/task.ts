import ora from 'ora'

/** A line on a terminal's stderr that says what is going on and how far it is; silent elsewhere. */
export interface Task {
  update(how: string): void
  stop(): void
}

export function startTask(what: string, quiet: boolean): Task {
  // A terminal without a width (some that programs open) makes the spinner count lines for ever.
  if (quiet || !process.stderr.isTTY || !process.stderr.columns) return { update: () => {}, stop: () => {} }
  const spinner = ora({ text: `${what} ...`, stream: process.stderr }).start()
  return {
    update: (how) => {
      spinner.text = `${what} ${how}`
      // Long computations leave timers no time: draw now.
      spinner.render()
    },
    // Only once: it moves the cursor, also if there is nothing to clear.
    stop: () => {
      if (spinner.isSpinning) spinner.stop()
    },
  }
}

const WIDTH = 24

/** A bar and a percentage. */
export function percent(done: number, total: number): string {
  const share = total > 0 ? Math.min(1, done / total) : 1
  const filled = Math.round(share * WIDTH)
  return `${'█'.repeat(filled)}${'░'.repeat(WIDTH - filled)} ${Math.floor(share * 100)}%`
}
