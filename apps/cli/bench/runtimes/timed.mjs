/** The time to the first token, and that of each one after it, of at most so many. */
export async function timed(steps, most = Infinity) {
  const start = performance.now()
  let first = 0,
    count = 0
  for await (const _ of steps) {
    first ||= performance.now()
    if (++count === most) break
  }
  return { promptMs: first - start, stepMs: (performance.now() - first) / (count - 1) }
}
