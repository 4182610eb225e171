/** The time to the first token, and that of each one after it. */
export async function timed(steps) {
  const start = performance.now()
  let first = 0,
    count = 0
  for await (const _ of steps) {
    first ||= performance.now()
    count++
  }
  return { promptMs: first - start, stepMs: (performance.now() - first) / (count - 1) }
}
