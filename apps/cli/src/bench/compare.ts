/** Two ways to the same end, timed in one process. */
export interface BenchRow {
  name: string
  /** Medians. */
  ours: number
  other: number
  unit: 'ms'
  /** ours / other. */
  ratio: number
  /** The most that the ratio may be. */
  goal: number
  pass: boolean
}

/** Runs both sides in turn, `rounds` times after one warm-up, and compares their medians: what disturbs the machine disturbs both. */
export async function compare(
  name: string,
  goal: number,
  rounds: number,
  ours: () => Promise<unknown>,
  other: () => Promise<unknown>,
): Promise<BenchRow> {
  const times: [number[], number[]] = [[], []]
  for (let round = -1; round < rounds; round++) {
    for (const [side, run] of [ours, other].entries()) {
      const start = performance.now()
      const told = await run()
      // A side may time itself.
      if (round >= 0) times[side].push(typeof told === 'number' ? told : performance.now() - start)
    }
  }
  return benchRow(name, goal, ...times)
}

/** The medians of two sides' milliseconds, compared. */
export function benchRow(name: string, goal: number, mine: number[], theirs: number[]): BenchRow {
  const ours = median(mine),
    other = median(theirs)
  return { name, ours, other, unit: 'ms', ratio: ours / other, goal, pass: ours / other <= goal }
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
