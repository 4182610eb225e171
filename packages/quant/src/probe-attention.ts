import type { HeadView } from '@kvfold/kv-core'

/** Probes whose logits are looked at together: memory stays small whatever the prompt. */
const TOGETHER = 16

/** The last `count` rows' queries, [group][count][headDim]. */
export interface PromptQueries {
  data: Float32Array
  count: number
}

/**
 * What each row got of the attention of some of a prompt's queries, `probes` (their places in the prompt): the sums over the probes and the
 * query heads, softmax over the rows that a probe may see, and how many of the probes saw the row.
 */
export function probeAttention(
  { data, count }: PromptQueries,
  group: number,
  probes: readonly number[],
  head: HeadView,
): { sums: Float32Array; seen: Uint32Array } {
  const { rows, headDim } = head
  const sums = new Float32Array(rows)
  const seen = new Uint32Array(rows)
  const first = rows - count
  for (const probe of probes) for (let row = first + probe; row >= 0; row--) seen[row]++
  for (let from = 0; from < probes.length; from += TOGETHER) {
    const part = probes.slice(from, from + TOGETHER)
    const queries = new Float32Array(part.length * headDim)
    for (let g = 0; g < group; g++) {
      part.forEach((probe, i) => {
        const at = (g * count + probe) * headDim
        queries.set(data.subarray(at, at + headDim), i * headDim)
      })
      const logits = head.logits(queries, part.length)
      part.forEach((probe, i) => addSoftmax(logits.subarray(i * rows, i * rows + first + probe + 1), sums))
    }
  }
  return { sums, seen }
}

/** Adds the softmax of some logits to the sums of their rows. */
function addSoftmax(logits: Float32Array, sums: Float32Array): void {
  let most = -Infinity
  for (const x of logits) if (x > most) most = x
  let total = 0
  for (let i = 0; i < logits.length; i++) total += logits[i] = Math.exp(logits[i] - most)
  for (let i = 0; i < logits.length; i++) sums[i] += logits[i] / total
}

/** The newest half of the probes, and as many others drawn at random: places in a prompt, ascending. */
export function chooseProbes(count: number, share: number, random: () => number): number[] {
  const recent = Math.min(count, Math.ceil((count * share) / 2))
  const older = count - recent
  const drawn = Math.min(older, Math.floor((count * share) / 2))
  // Every choice of `drawn` out of `older` is as likely (Floyd).
  const chosen = new Set<number>()
  for (let last = older - drawn; last < older; last++) {
    const pick = Math.floor(random() * (last + 1))
    chosen.add(chosen.has(pick) ? last : pick)
  }
  return [...[...chosen].sort((a, b) => a - b), ...Array.from({ length: recent }, (_, i) => older + i)]
}
