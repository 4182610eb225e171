/**
 * Two ways to the same end, in one process.
 * @typedef {{ name: string, ours: number, other: number, unit: 'ms', ratio: number, goal: number, pass: boolean, note?: string }} BenchRow
 */

/**
 * Runs both sides in turn, after one warm-up of each, and compares their medians: what disturbs the machine disturbs both.
 * @param {{ name: string, goal: number, rounds: number, ours: () => unknown, other: () => unknown, note?: (ours: number) => string }} options
 * @returns {Promise<BenchRow>}
 */
export async function compare({ name, goal, rounds, ours, other, note }) {
  const times = [[], []]
  for (let round = -1; round < rounds; round++) {
    for (const [side, run] of [ours, other].entries()) {
      const start = performance.now()
      await run()
      if (round >= 0) times[side].push(performance.now() - start)
    }
  }
  const [mine, theirs] = times.map((all) => all.sort((a, b) => a - b)[all.length >> 1])
  return { name, ours: mine, other: theirs, unit: 'ms', ratio: mine / theirs, goal, pass: mine / theirs <= goal, note: note?.(mine) }
}
