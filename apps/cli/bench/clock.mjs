/** Milliseconds that something takes. */
export async function clock(run) {
  const start = performance.now()
  await run()
  return performance.now() - start
}

export const median = (times) => times.toSorted((a, b) => a - b)[times.length >> 1]
